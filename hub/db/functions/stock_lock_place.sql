-- Keep levels of a place from being made, and lock all it has, sorted; return its id, NULL if there is no such place.
--
-- Who makes a level refers to its place, which is locked here, and then looks whether it is counted. It must not hold levels
-- of the place by then: sales make theirs first, reads take turns with this.
CREATE OR REPLACE FUNCTION stock_lock_place(code text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    place location;
BEGIN
    SELECT * INTO place FROM location WHERE location.code = stock_lock_place.code;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- as hub/stock/apply.py does
    PERFORM pg_advisory_xact_lock(hashtext('oneshelf.stock_base'), hashtext(COALESCE(place.stock_source, '')));
    PERFORM FROM location WHERE id = place.id FOR UPDATE;
    PERFORM FROM stock_level AS level WHERE level.location_id = place.id
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    RETURN place.id;
END
$function$;
