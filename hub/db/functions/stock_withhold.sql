-- Bring what is withheld of some levels to what their rules say; return how many levels changed. Only those that differ are
-- locked.
--
-- `tell`: followers learn of it, unless what the caller does tells them anyway.
CREATE OR REPLACE FUNCTION stock_withhold(items bigint[], places bigint[], tell boolean)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off  -- few levels of many, by rules that may have come a moment ago
AS $function$
#variable_conflict use_column
DECLARE
    due_item bigint[];
    due_place bigint[];
    changed integer;
BEGIN
    SELECT array_agg(level.item_id), array_agg(level.location_id) INTO due_item, due_place
    FROM stock_wanted(items, places) AS wanted JOIN stock_level AS level USING (item_id, location_id)
    WHERE (wanted.safety_stock, wanted.buffer) <> (level.safety_stock, level.buffer);
    IF due_item IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (SELECT * FROM unnest(due_item, due_place))
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    WITH due AS MATERIALIZED (
        SELECT wanted.*, level.safety_stock AS safety_before, level.buffer AS buffer_before
        FROM stock_wanted(due_item, due_place) AS wanted JOIN stock_level AS level USING (item_id, location_id)
        WHERE (wanted.safety_stock, wanted.buffer) <> (level.safety_stock, level.buffer)),
    entry AS (
        SELECT item_id, location_id, 'safety_stock' AS status, safety_before AS before, safety_stock AS after, named
        FROM due WHERE safety_before <> safety_stock
        UNION ALL
        SELECT item_id, location_id, 'buffer', buffer_before, buffer, named FROM due WHERE buffer_before <> buffer),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, status, before, after, 'rule', named, clock_timestamp() FROM entry
        ORDER BY item_id, location_id, status),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM due JOIN item ON item.id = due.item_id JOIN location AS place ON place.id = due.location_id
        WHERE tell)
    UPDATE stock_level AS level
    SET safety_stock = due.safety_stock, buffer = due.buffer, changed_at = clock_timestamp()
    FROM due
    WHERE level.item_id = due.item_id AND level.location_id = due.location_id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$function$;
