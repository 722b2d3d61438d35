-- Move what an active reservation holds to another place, all of it or nothing; its end stays.
--
-- Returns its state; NULL if there is none. `problem` is unknown (no such place to sell from), insufficient or frozen, with
-- the lines that lack, and nothing has moved then. `everywhere`: also to places that do not sell online.
CREATE OR REPLACE FUNCTION stock_transfer(wanted uuid, to_location text, everywhere boolean)
RETURNS TABLE (state text, problem text, problem_lines jsonb)
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    stands text;
    held reservation;
    place_id bigint;
    items bigint[];
    places bigint[];
    quantities numeric[];
    lacking record;
    problem_text text;
    details text;
BEGIN
    SELECT place.id INTO place_id FROM location AS place
    WHERE place.code = to_location AND place.active AND (everywhere OR place.sellable_online);
    SELECT locked.state INTO stands FROM stock_lock_reservation(wanted, place_id) AS locked;
    IF stands IS DISTINCT FROM 'active' THEN
        RETURN QUERY SELECT stands, NULL::text, NULL::jsonb;
        RETURN;
    END IF;
    IF place_id IS NULL THEN
        RETURN QUERY SELECT stands, 'unknown', jsonb_build_array(
            jsonb_build_object('location', to_location, 'unknown_sku', false, 'unknown_location', true));
        RETURN;
    END IF;
    SELECT * INTO held FROM reservation WHERE id = wanted;
    SELECT array_agg(line.item_id ORDER BY line.item_id), array_agg(place_id),
           array_agg(line.quantity ORDER BY line.item_id)
    INTO items, places, quantities
    FROM (SELECT item_id, sum(quantity) AS quantity FROM reservation_line
          WHERE reservation_id = wanted GROUP BY item_id) AS line;
    PERFORM stock_give_back(wanted, 'released');
    SELECT * INTO lacking FROM stock_lacking(held.channel, items, places, quantities);
    IF lacking.problem IS NOT NULL THEN
        -- Everything as it was: this block is undone, the caller's transaction goes on.
        RAISE EXCEPTION USING ERRCODE = 'OS001', MESSAGE = lacking.problem, DETAIL = lacking.problem_lines::text;
    END IF;
    DELETE FROM reservation_line WHERE reservation_id = wanted;
    INSERT INTO reservation_line (reservation_id, item_id, location_id, quantity)
    SELECT wanted, line.item_id, line.location_id, line.quantity
    FROM unnest(items, places, quantities) AS line(item_id, location_id, quantity);
    PERFORM stock_hold(wanted);
    UPDATE reservation
    SET asked = (SELECT jsonb_agg(line || jsonb_build_object('location', to_location))
                 FROM jsonb_array_elements(asked) AS line)
    WHERE id = wanted;
    RETURN QUERY SELECT stands, NULL::text, NULL::jsonb;
EXCEPTION WHEN SQLSTATE 'OS001' THEN
    GET STACKED DIAGNOSTICS problem_text = MESSAGE_TEXT, details = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT 'active', problem_text, details::jsonb;
END
$function$;
