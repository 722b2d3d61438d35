-- Make an order of a reservation: what it holds becomes demand under the order's number.
--
-- Of one that has expired, what it held is taken once more if `again` and there is room; else nothing changes. Returns no
-- row when there is no such reservation; `problem` is insufficient or frozen, with the lines that lack. One that is
-- committed already is left as it is: `committed_as` tells under which number.
CREATE OR REPLACE FUNCTION stock_commit(wanted uuid, number text, erp_reference text, again boolean)
RETURNS TABLE (state text, committed_as text, problem text, problem_lines jsonb)
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    stands text;
    held reservation;
    items bigint[];
    places bigint[];
    quantities numeric[];
    lacking record;
BEGIN
    SELECT locked.state INTO stands FROM stock_lock_reservation(wanted) AS locked;
    IF stands IS NULL THEN
        RETURN;
    END IF;
    SELECT * INTO held FROM reservation WHERE id = wanted;
    SELECT array_agg(item_id ORDER BY item_id, location_id), array_agg(location_id ORDER BY item_id, location_id),
           array_agg(quantity ORDER BY item_id, location_id)
    INTO items, places, quantities
    FROM reservation_line WHERE reservation_id = wanted;
    IF stands = 'active' THEN
        PERFORM stock_give_back(wanted, 'committed');
    ELSIF stands = 'expired' AND again THEN
        SELECT * INTO lacking FROM stock_lacking(held.channel, items, places, quantities);
        IF lacking.problem IS NOT NULL THEN
            RETURN QUERY SELECT stands, NULL::text, lacking.problem, lacking.problem_lines;
            RETURN;
        END IF;
    ELSE
        RETURN QUERY SELECT stands, held.order_no, NULL::text, NULL::jsonb;
        RETURN;
    END IF;
    PERFORM stock_place_demand('order', number, erp_reference, false, held.channel, wanted, items, places, quantities,
                               clock_timestamp());
    UPDATE reservation SET state = 'committed', order_no = number, ended_at = clock_timestamp() WHERE id = wanted;
    RETURN QUERY SELECT 'committed', number, NULL::text, NULL::jsonb;
END
$function$;
