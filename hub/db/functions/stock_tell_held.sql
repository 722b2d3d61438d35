-- Tell followers that what may be promised of a level has changed.
CREATE OR REPLACE FUNCTION stock_tell_held(item bigint, place bigint)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    INSERT INTO outbox (topic, key, payload)
    SELECT 'stock.held', known.sku, jsonb_build_object('sku', known.sku, 'location', there.code)
    FROM item AS known, location AS there
    WHERE known.id = stock_tell_held.item AND there.id = stock_tell_held.place
$function$;
