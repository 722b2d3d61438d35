-- Count goods that are usable at a place and not yet on the ERP's books: returns that were inspected, transfers in.
--
-- Returns the lines that nobody knows, and counts nothing then; NULL when all is counted.
CREATE OR REPLACE FUNCTION stock_add_supply(supply_kind text, supply_number text, lines jsonb, effective timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    items bigint[];
    places bigint[];
    quantities numeric[];
    unknown jsonb;
BEGIN
    SELECT * INTO items, places, quantities, unknown FROM stock_lock_lines(lines);
    IF unknown IS NOT NULL OR items IS NULL THEN
        RETURN unknown;
    END IF;
    WITH line AS (
        SELECT * FROM unnest(items, places, quantities) AS given(item_id, location_id, quantity)),
    placed AS (
        INSERT INTO stock_supply (kind, number, item_id, location_id, quantity, effective_at)
        SELECT supply_kind, supply_number, item_id, location_id, quantity, effective FROM line),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, 'supply', level.supply, level.supply + line.quantity, supply_kind, supply_number,
               effective
        FROM line JOIN stock_level AS level USING (item_id, location_id)),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id)
    UPDATE stock_level AS level SET supply = level.supply + line.quantity, changed_at = clock_timestamp()
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id;
    RETURN NULL;
END
$function$;
