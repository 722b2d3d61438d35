-- What lines of articles take from which levels: kits as their components, lines of one article and place summed.
--
-- `lines` has sku, location and quantity each. A row without an item_id or location_id names what nobody knows; its
-- article is not sold any more, or is a kit of such a part or of another kit. `everywhere`: also places that do not sell
-- online.
CREATE OR REPLACE FUNCTION stock_parts(lines jsonb, everywhere boolean)
RETURNS TABLE (sku text, location text, item_id bigint, location_id bigint, quantity numeric)
LANGUAGE sql STABLE AS $function$
    WITH line AS MATERIALIZED (
        SELECT given.sku, given.location, given.quantity,
               (SELECT item.id FROM item WHERE item.sku = given.sku AND item.active AND NOT EXISTS (
                    SELECT FROM kit_component AS component JOIN item AS part ON part.id = component.item_id
                    WHERE component.kit_id = item.id
                      AND (NOT part.active OR part.id IN (SELECT kit_id FROM kit_component)))) AS item_id,
               (SELECT place.id FROM location AS place WHERE place.code = given.location AND place.active
                AND (everywhere OR place.sellable_online)) AS location_id
        FROM jsonb_to_recordset(lines) AS given(sku text, location text, quantity numeric))
    SELECT min(COALESCE(part.sku, line.sku)), line.location, COALESCE(component.item_id, line.item_id), line.location_id,
           sum(line.quantity * COALESCE(component.quantity, 1))
    FROM line
    LEFT JOIN kit_component AS component ON component.kit_id = line.item_id
    LEFT JOIN item AS part ON part.id = component.item_id
    GROUP BY line.location, COALESCE(component.item_id, line.item_id), line.location_id,
             CASE WHEN line.item_id IS NULL THEN line.sku END
    ORDER BY 3, 4, 1
$function$;
