-- Close what has expired on up to `most` levels, those that nobody else has locked; return how many levels there were.
CREATE OR REPLACE FUNCTION stock_sweep(most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    items bigint[];
    places bigint[];
    moment timestamptz;
BEGIN
    SELECT array_agg(locked.item_id), array_agg(locked.location_id) INTO items, places
    FROM (
        SELECT level.item_id, level.location_id
        FROM stock_level AS level
        WHERE (level.item_id, level.location_id) IN (
            SELECT bucket.item_id, bucket.location_id FROM hold_bucket AS bucket
            WHERE bucket.expires_second <= EXTRACT(EPOCH FROM clock_timestamp())
            GROUP BY 1, 2 LIMIT most)
        ORDER BY level.item_id, level.location_id
        FOR NO KEY UPDATE SKIP LOCKED) AS locked;
    IF items IS NULL THEN
        RETURN 0;
    END IF;
    moment := clock_timestamp();
    PERFORM stock_close_expired(items, places, floor(EXTRACT(EPOCH FROM moment))::bigint, moment);
    RETURN cardinality(items);
END
$function$;
