-- Make the levels that no read has named yet; they begin at zero. Called before any level is locked (stock_lock_place).
--
-- In turn with the reads of their sources: these lock levels first and make new ones then, so that they might wait for each
-- other in a circle.
CREATE OR REPLACE FUNCTION stock_make_levels(items bigint[], places bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    made_item bigint[];
    made_place bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('oneshelf.stock_base'), hashtext(missing.source))  -- as hub/stock/apply.py does
    FROM (
        SELECT DISTINCT COALESCE(place.stock_source, '') AS source
        FROM unnest(items, places) AS line(item_id, location_id) JOIN location AS place ON place.id = line.location_id
        WHERE NOT EXISTS (SELECT FROM stock_level AS level
                          WHERE level.item_id = line.item_id AND level.location_id = line.location_id)
        ORDER BY 1) AS missing;
    WITH made AS (
        INSERT INTO stock_level (item_id, location_id, on_hand, read_began, read_ended)
        SELECT line.item_id, line.location_id, 0, 0, 1
        FROM unnest(items, places) AS line(item_id, location_id) ORDER BY 1, 2
        ON CONFLICT DO NOTHING
        RETURNING item_id, location_id)
    SELECT array_agg(item_id), array_agg(location_id) INTO made_item, made_place FROM made;
    IF made_item IS NOT NULL THEN
        PERFORM stock_begin_levels(made_item, made_place);
    END IF;
END
$function$;
