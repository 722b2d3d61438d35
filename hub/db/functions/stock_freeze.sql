-- Freeze a place for counting: nothing of it is promised, reads go on, what is held or sold stays so.
--
-- Returns the number of the stocktake; NULL when there is no such place or it is being counted already.
CREATE OR REPLACE FUNCTION stock_freeze(code text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    place_id bigint;
    number bigint;
    moment timestamptz;
BEGIN
    place_id := stock_lock_place(code);
    IF place_id IS NULL OR EXISTS (SELECT FROM stocktake WHERE location_id = place_id AND thawed_at IS NULL) THEN
        RETURN NULL;
    END IF;
    moment := clock_timestamp();
    INSERT INTO stocktake (location_id, frozen_at, ledger_from)
    SELECT place_id, moment, COALESCE(max(entry.id), 0) FROM stock_ledger AS entry
    RETURNING id INTO number;
    PERFORM stock_mark_frozen(array_agg(level.item_id), array_agg(level.location_id), moment, number)
    FROM stock_level AS level WHERE level.location_id = place_id;
    PERFORM stock_tell_place(place_id);
    RETURN number;
END
$function$;
