-- Lock a reservation, then its levels, sorted, and tell how it stands at this moment.
--
-- The reservation comes first: a transfer moves its lines, so that which levels they are is known only then. `coming_to`: a
-- place whose levels of the same articles are locked with them, for a transfer.
-- What had expired on all these levels is given back. A reservation is over when the clock has reached its end, or when one
-- of the levels has closed that second before (then the clock was set back since); it is marked `expired` here. Returns no
-- row when there is no such reservation. `present`: no new end of it may be before this second (Unix time).
CREATE OR REPLACE FUNCTION stock_lock_reservation(wanted uuid, coming_to bigint DEFAULT NULL)
RETURNS TABLE (state text, present bigint)
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    items bigint[];
    places bigint[];
    closed bigint;
    next_end bigint;
    moment timestamptz;
    clock bigint;
    held reservation;
BEGIN
    SELECT * INTO held FROM reservation WHERE id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT array_agg(item_id), array_agg(location_id), max(closed_through), min(next_expiry)
    INTO items, places, closed, next_end
    FROM (
        SELECT level.item_id, level.location_id, level.closed_through, level.next_expiry
        FROM stock_level AS level
        WHERE (level.item_id, level.location_id) IN (
            SELECT item_id, location_id FROM reservation_line WHERE reservation_id = wanted
            UNION SELECT item_id, coming_to FROM reservation_line WHERE reservation_id = wanted)
        ORDER BY level.item_id, level.location_id
        FOR NO KEY UPDATE) AS locked;
    moment := clock_timestamp();
    clock := floor(EXTRACT(EPOCH FROM moment));
    IF next_end <= clock THEN
        PERFORM stock_close_expired(items, places, clock, moment);
    END IF;
    IF held.state = 'active' AND held.expires_second <= GREATEST(closed, clock) THEN
        -- Levels that have not come as far keep what it held until their own second.
        UPDATE reservation SET state = 'expired', ended_at = to_timestamp(held.expires_second) WHERE id = wanted;
        held.state := 'expired';
    END IF;
    RETURN QUERY SELECT held.state, GREATEST(closed, clock);
END
$function$;
