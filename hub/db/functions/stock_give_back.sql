-- Take what an active reservation holds out of its buckets, levels and pools. Called under its locks.
CREATE OR REPLACE FUNCTION stock_give_back(wanted uuid, told_as text)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    WITH line AS (
        SELECT line.item_id, line.location_id, line.quantity, held.channel, held.expires_second
        FROM reservation_line AS line JOIN reservation AS held ON held.id = line.reservation_id
        WHERE line.reservation_id = wanted),
    emptied AS (
        UPDATE hold_bucket AS bucket SET quantity = bucket.quantity - line.quantity
        FROM line
        WHERE bucket.item_id = line.item_id AND bucket.location_id = line.location_id
          AND bucket.channel = line.channel AND bucket.expires_second = line.expires_second),
    told AS (
        INSERT INTO hold_event (recorded_at, item_id, location_id, channel, reservation_id, kind, quantity, effective_at)
        SELECT clock_timestamp(), item_id, location_id, channel, wanted, told_as, -quantity, clock_timestamp()
        FROM line),
    returned AS (
        UPDATE stock_pool AS pool SET held = pool.held - line.quantity
        FROM line
        WHERE pool.item_id = line.item_id AND pool.location_id = line.location_id AND pool.channel = line.channel),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line
        JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id)
    UPDATE stock_level AS level SET held = level.held - line.quantity
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id
$function$;
