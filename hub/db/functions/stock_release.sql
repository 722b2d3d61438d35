-- Release a reservation: what it held may be promised again. Returns its state afterwards, NULL if there is none.
CREATE OR REPLACE FUNCTION stock_release(wanted uuid)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    stands text;
BEGIN
    SELECT locked.state INTO stands FROM stock_lock_reservation(wanted) AS locked;
    IF stands = 'active' THEN
        PERFORM stock_give_back(wanted, 'released');
        UPDATE reservation SET state = 'released', ended_at = clock_timestamp() WHERE id = wanted;
        stands := 'released';
    END IF;
    RETURN stands;
END
$function$;
