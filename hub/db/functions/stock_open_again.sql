-- Open demand again that was posted for good, since documents with these numbers have changed: the base may contain it no
-- more, or not as a whole. It counts as if the base contained nothing of it, until the next read has judged it.
--
-- What would be kept of its cover would never be judged again: the read that is in force may have begun after the look that
-- learned of the change, and knew of nothing open then.
CREATE OR REPLACE FUNCTION stock_open_again(items bigint[], places bigint[], numbers text[])
RETURNS void
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    posted bigint[];
BEGIN
    SELECT array_agg(DISTINCT demand.id) INTO posted
    FROM unnest(items, places, numbers) AS changed(item_id, location_id, reference)
    JOIN stock_demand AS demand USING (location_id, reference)
    WHERE demand.state = 'posted' AND (demand.whole OR demand.item_id = changed.item_id);
    IF posted IS NULL THEN
        RETURN;
    END IF;
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (SELECT item_id, location_id FROM stock_demand WHERE id = ANY(posted))
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    WITH line AS (
        UPDATE stock_demand SET state = 'open', covered = NULL, ended_at = NULL
        WHERE id = ANY(posted) AND state = 'posted'
        RETURNING id, kind, number, channel, item_id, location_id, quantity),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, 'demand', level.demand + sum(quantity) OVER so_far - quantity,
               level.demand + sum(quantity) OVER so_far, kind || ' open again', number, clock_timestamp()
        FROM line JOIN stock_level AS level USING (item_id, location_id)
        WINDOW so_far AS (PARTITION BY item_id, location_id ORDER BY line.id)
        ORDER BY item_id, location_id, line.id),
    pooled AS (
        -- as reads do when the base contains less than before
        UPDATE stock_pool AS pool
        SET held = pool.held + taken.quantity, ring_fenced = pool.ring_fenced + taken.quantity
        FROM (SELECT item_id, location_id, channel, sum(quantity) AS quantity FROM line GROUP BY 1, 2, 3) AS taken
        WHERE pool.item_id = taken.item_id AND pool.location_id = taken.location_id AND pool.channel = taken.channel),
    moved AS (
        SELECT item_id, location_id, sum(quantity) AS quantity FROM line GROUP BY 1, 2),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM moved JOIN item ON item.id = moved.item_id JOIN location AS place ON place.id = moved.location_id)
    UPDATE stock_level AS level SET demand = level.demand + moved.quantity, changed_at = clock_timestamp()
    FROM moved
    WHERE level.item_id = moved.item_id AND level.location_id = moved.location_id;
END
$function$;
