-- Put the lines of an active reservation into buckets, levels and pools: what stock_give_back takes out. Called under its locks.
CREATE OR REPLACE FUNCTION stock_hold(wanted uuid)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    WITH line AS (
        SELECT line.item_id, line.location_id, line.quantity, held.channel, held.expires_second
        FROM reservation_line AS line JOIN reservation AS held ON held.id = line.reservation_id
        WHERE line.reservation_id = wanted),
    bucketed AS (
        INSERT INTO hold_bucket AS bucket (item_id, location_id, expires_second, channel, quantity)
        SELECT item_id, location_id, expires_second, channel, quantity FROM line
        ON CONFLICT (item_id, location_id, expires_second, channel)
        DO UPDATE SET quantity = bucket.quantity + excluded.quantity),
    told AS (
        INSERT INTO hold_event (recorded_at, item_id, location_id, channel, reservation_id, kind, quantity, effective_at)
        SELECT clock_timestamp(), item_id, location_id, channel, wanted, 'held', quantity, clock_timestamp()
        FROM line),
    pooled AS (
        UPDATE stock_pool AS pool SET held = pool.held + line.quantity
        FROM line
        WHERE pool.item_id = line.item_id AND pool.location_id = line.location_id AND pool.channel = line.channel),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line
        JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id)
    UPDATE stock_level AS level
    SET held = level.held + line.quantity, next_expiry = LEAST(level.next_expiry, line.expires_second)
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id
$function$;
