-- Take demand back under its levels' locks: it was cancelled before it was sent, or the ERP surely has not and will not
-- post it, or has posted its reversal.
--
-- `as_state` is released or reversed. Demand that was sent is only ended if `though_sent`: until then it is
-- cancel_pending and counts on. Returns the state afterwards, NULL when there is no such demand.
CREATE OR REPLACE FUNCTION stock_end_demand(wanted_kind text, wanted_number text, as_state text, though_sent boolean)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    stands text;
BEGIN
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (
        SELECT item_id, location_id FROM stock_demand WHERE kind = wanted_kind AND number = wanted_number)
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    SELECT max(state) INTO stands FROM stock_demand
    WHERE kind = wanted_kind AND number = wanted_number;
    IF stands IS NULL OR stands IN ('released', 'reversed') THEN
        RETURN stands;
    END IF;
    IF NOT though_sent AND EXISTS (
        SELECT FROM stock_demand WHERE kind = wanted_kind AND number = wanted_number AND push_sent IS NOT NULL)
    THEN
        UPDATE stock_demand SET state = 'cancel_pending' WHERE kind = wanted_kind AND number = wanted_number;
        RETURN 'cancel_pending';
    END IF;
    WITH line AS (
        SELECT item_id, location_id, channel, number, quantity - COALESCE(covered, 0) AS quantity
        FROM stock_demand
        WHERE kind = wanted_kind AND number = wanted_number AND state IN ('open', 'cancel_pending')),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, 'demand', level.demand, level.demand - line.quantity,
               wanted_kind || ' ' || as_state, line.number, clock_timestamp()
        FROM line JOIN stock_level AS level USING (item_id, location_id)
        WHERE line.quantity <> 0),
    returned AS (
        UPDATE stock_pool AS pool SET held = pool.held - line.quantity
        FROM line
        WHERE pool.item_id = line.item_id AND pool.location_id = line.location_id AND pool.channel = line.channel),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id)
    UPDATE stock_level AS level SET demand = level.demand - line.quantity, changed_at = clock_timestamp()
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id;
    UPDATE stock_demand SET state = as_state, ended_at = clock_timestamp()
    WHERE kind = wanted_kind AND number = wanted_number;
    RETURN as_state;
END
$function$;
