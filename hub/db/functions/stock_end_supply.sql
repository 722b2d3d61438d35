-- End supply under its levels' locks: the ERP has posted it and a read contains it, or it never was there.
--
-- `as_state` is posted or withdrawn. Returns whether there was any to end.
CREATE OR REPLACE FUNCTION stock_end_supply(wanted_kind text, wanted_number text, as_state text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
BEGIN
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (
        SELECT item_id, location_id FROM stock_supply WHERE kind = wanted_kind AND number = wanted_number)
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    WITH line AS (
        SELECT item_id, location_id, number, CASE WHEN counted THEN quantity ELSE 0 END AS quantity
        FROM stock_supply WHERE kind = wanted_kind AND number = wanted_number AND state = 'open'),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, 'supply', level.supply, level.supply - line.quantity,
               wanted_kind || ' ' || as_state, line.number, clock_timestamp()
        FROM line JOIN stock_level AS level USING (item_id, location_id)
        WHERE line.quantity <> 0),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id
        WHERE line.quantity <> 0)
    UPDATE stock_level AS level SET supply = level.supply - line.quantity, changed_at = clock_timestamp()
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id;
    UPDATE stock_supply SET state = as_state, counted = false, ended_at = clock_timestamp()
    WHERE kind = wanted_kind AND number = wanted_number AND state = 'open';
    RETURN FOUND;
END
$function$;
