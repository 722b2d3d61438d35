-- What lacks for a channel to take quantities of some levels: `problem` is insufficient or frozen, with the lines that lack;
-- NULL when there is room. Called under the levels' locks, once what has expired on them is given back.
CREATE OR REPLACE FUNCTION stock_lacking(
    sold_through text, items bigint[], places bigint[], quantities numeric[], OUT problem text, OUT problem_lines jsonb)
LANGUAGE plpgsql STABLE AS $function$
BEGIN
    WITH pools AS MATERIALIZED (
        SELECT * FROM stock_pools(array_fill(sold_through, ARRAY[cardinality(items)]), items, places)),
    line AS (
        SELECT asked.item_id, asked.location_id, asked.quantity, level.frozen_at,
               LEAST(COALESCE(level.room, 0), pools.pool_room[pools.line_pool[asked.position]]) AS room
        FROM unnest(items, places, quantities) WITH ORDINALITY AS asked(item_id, location_id, quantity, position)
        CROSS JOIN pools
        LEFT JOIN stock_level AS level USING (item_id, location_id))
    SELECT CASE WHEN bool_or(line.frozen_at IS NOT NULL) THEN 'frozen' WHEN count(*) > 0 THEN 'insufficient' END,
           jsonb_agg(jsonb_build_object(
               'sku', item.sku, 'location', place.code, 'requested', trim_scale(line.quantity)::text,
               'available', trim_scale(GREATEST(line.room, 0))::text) ORDER BY item.sku, place.code)
    INTO problem, problem_lines
    FROM line
    JOIN item ON item.id = line.item_id
    JOIN location AS place ON place.id = line.location_id
    WHERE line.room < line.quantity;
END
$function$;
