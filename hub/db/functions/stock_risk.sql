-- What may have been sold of each level that the hub can't know yet: how fast its base falls without us, times how old its
-- numbers are. Levels that did not fall have no row; a source that was never read has no age.
CREATE OR REPLACE FUNCTION stock_risk()
RETURNS TABLE (item_id bigint, location_id bigint, per_second numeric, lag_seconds numeric, units numeric)
LANGUAGE sql STABLE AS $function$
    SELECT rate.item_id, rate.location_id, rate.per_second, age.seconds, rate.per_second * age.seconds
    FROM stock_rate AS rate
    JOIN location AS place ON place.id = rate.location_id
    LEFT JOIN feed ON feed.source = place.stock_source
    CROSS JOIN LATERAL (
        SELECT GREATEST(EXTRACT(EPOCH FROM statement_timestamp() - feed.read_at), 0) AS seconds
        WHERE feed.read_at IS NOT NULL
        UNION ALL SELECT NULL WHERE feed.read_at IS NULL) AS age
$function$;
