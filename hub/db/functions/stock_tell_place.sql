-- Tell followers that what may be promised of all levels of a place has changed.
CREATE OR REPLACE FUNCTION stock_tell_place(place_id bigint)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    INSERT INTO outbox (topic, key, payload)
    SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
    FROM stock_level AS level
    JOIN item ON item.id = level.item_id
    JOIN location AS place ON place.id = level.location_id
    WHERE level.location_id = place_id
    ORDER BY item.sku
$function$;
