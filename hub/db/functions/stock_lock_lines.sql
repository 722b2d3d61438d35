-- Find the levels that lines of articles concern, make those that no read has named yet, and lock them all, sorted.
--
-- `lines` has sku, location and quantity each. `unknown` are those that nobody knows; then nothing is made or locked.
CREATE OR REPLACE FUNCTION stock_lock_lines(
    lines jsonb, OUT items bigint[], OUT places bigint[], OUT quantities numeric[], OUT unknown jsonb)
LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    SELECT stock_unknown_lines(lines) INTO unknown;
    SELECT array_agg(part.item_id), array_agg(part.location_id), array_agg(part.quantity)
    INTO items, places, quantities
    FROM stock_parts(lines, true) AS part;
    IF unknown IS NOT NULL OR items IS NULL THEN
        RETURN;
    END IF;
    PERFORM stock_make_levels(items, places);
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (SELECT * FROM unnest(items, places))
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
END
$function$;
