-- Let an active reservation last for `ttl` seconds from now, if that is longer. Returns its state, NULL if there is none.
CREATE OR REPLACE FUNCTION stock_extend(wanted uuid, ttl integer)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    stands text;
    here bigint;
    until bigint;
    ended bigint;
BEGIN
    SELECT locked.state, locked.present INTO stands, here FROM stock_lock_reservation(wanted) AS locked;
    IF stands IS DISTINCT FROM 'active' THEN
        RETURN stands;
    END IF;
    SELECT expires_second INTO ended FROM reservation WHERE id = wanted;
    until := here + 1 + ttl;
    IF until <= ended THEN
        RETURN stands;
    END IF;
    WITH line AS (
        SELECT line.*, held.channel FROM reservation_line AS line JOIN reservation AS held ON held.id = line.reservation_id
        WHERE line.reservation_id = wanted),
    emptied AS (
        UPDATE hold_bucket AS bucket SET quantity = bucket.quantity - line.quantity
        FROM line
        WHERE bucket.item_id = line.item_id AND bucket.location_id = line.location_id
          AND bucket.channel = line.channel AND bucket.expires_second = ended),
    told AS (
        INSERT INTO hold_event (recorded_at, item_id, location_id, channel, reservation_id, kind, quantity, effective_at)
        SELECT clock_timestamp(), item_id, location_id, channel, wanted, 'extended', 0, clock_timestamp() FROM line)
    INSERT INTO hold_bucket AS bucket (item_id, location_id, expires_second, channel, quantity)
    SELECT item_id, location_id, until, channel, quantity FROM line
    ON CONFLICT (item_id, location_id, expires_second, channel)
    DO UPDATE SET quantity = bucket.quantity + excluded.quantity;
    UPDATE reservation SET expires_second = until WHERE id = wanted;
    RETURN stands;
END
$function$;
