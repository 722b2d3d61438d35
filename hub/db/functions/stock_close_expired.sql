-- End, for good, what has expired on some levels by `clock` (Unix time, whole seconds), and give back what it held.
--
-- The caller holds the levels' locks, and looked at the clock after that; `moment` is when this is recorded.
CREATE OR REPLACE FUNCTION stock_close_expired(items bigint[], places bigint[], clock bigint, moment timestamptz)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    WITH level AS (
        SELECT * FROM unnest(items, places) AS given(item_id, location_id)),
    closed AS (
        DELETE FROM hold_bucket AS bucket USING level
        WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id
          AND bucket.expires_second <= clock
        RETURNING bucket.item_id, bucket.location_id, bucket.channel, bucket.expires_second, bucket.quantity),
    told AS (
        INSERT INTO hold_event (recorded_at, item_id, location_id, channel, kind, quantity, effective_at)
        SELECT moment, item_id, location_id, channel, 'expired', -quantity, to_timestamp(expires_second)
        FROM closed WHERE quantity <> 0),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM (SELECT DISTINCT item_id, location_id FROM closed WHERE quantity <> 0) AS freed
        JOIN item ON item.id = freed.item_id JOIN location AS place ON place.id = freed.location_id),
    returned AS (
        UPDATE stock_pool AS pool SET held = pool.held - freed.quantity
        FROM (SELECT item_id, location_id, channel, sum(quantity) AS quantity FROM closed GROUP BY 1, 2, 3) AS freed
        WHERE pool.item_id = freed.item_id AND pool.location_id = freed.location_id AND pool.channel = freed.channel)
    UPDATE stock_level AS own
    SET held = own.held - COALESCE((SELECT sum(closed.quantity) FROM closed
                                    WHERE closed.item_id = own.item_id AND closed.location_id = own.location_id), 0),
        closed_through = GREATEST(own.closed_through, clock),
        -- what this statement takes away is still there to its own eyes
        next_expiry = (SELECT min(bucket.expires_second) FROM hold_bucket AS bucket
                       WHERE bucket.item_id = own.item_id AND bucket.location_id = own.location_id
                         AND bucket.expires_second > clock)
    FROM level
    WHERE own.item_id = level.item_id AND own.location_id = level.location_id AND own.next_expiry <= clock
$function$;
