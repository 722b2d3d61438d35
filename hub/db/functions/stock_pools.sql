-- For each line the pool that it is taken from, and what is left in each pool; NULL for lines of levels without pools.
--
-- A channel with a pool of its own takes from that alone; all others share what no pool has set apart. Called under the
-- levels' locks.
CREATE OR REPLACE FUNCTION stock_pools(line_channel text[], line_item bigint[], line_place bigint[])
RETURNS TABLE (line_pool integer[], pool_room numeric[])
LANGUAGE sql STABLE AS $function$
    WITH line AS (
        SELECT * FROM unnest(line_channel, line_item, line_place) WITH ORDINALITY
            AS given(channel, item_id, location_id, position)),
    level AS (
        SELECT level.item_id, level.location_id, level.room,
               GREATEST(level.on_hand - level.safety_stock, 0) AS shared
        FROM stock_level AS level
        WHERE level.pooled AND (level.item_id, level.location_id) IN (SELECT item_id, location_id FROM line)),
    own AS (
        SELECT level.item_id, level.location_id, pool.channel,
               GREATEST(COALESCE(pool.ring_fenced, floor(level.shared * pool.percent / 100))
                        - pool.held, 0) AS room
        FROM level JOIN stock_pool AS pool USING (item_id, location_id)),
    pool AS (
        SELECT item_id, location_id, channel, room FROM own
        UNION ALL
        SELECT level.item_id, level.location_id, NULL,
               level.room - COALESCE((SELECT sum(own.room) FROM own WHERE own.item_id = level.item_id
                                      AND own.location_id = level.location_id), 0)
        FROM level),
    numbered AS (
        SELECT *, row_number() OVER (ORDER BY item_id, location_id, channel)::integer AS number FROM pool),
    chosen AS (
        SELECT line.position, COALESCE(own.number, rest.number) AS number
        FROM line
        LEFT JOIN numbered AS own ON own.item_id = line.item_id AND own.location_id = line.location_id
                                 AND own.channel = line.channel
        LEFT JOIN numbered AS rest ON rest.item_id = line.item_id AND rest.location_id = line.location_id
                                  AND rest.channel IS NULL)
    SELECT (SELECT array_agg(number ORDER BY position) FROM chosen),
           (SELECT array_agg(room ORDER BY number) FROM numbered)
$function$;
