-- Those of some lines that nobody knows; NULL when all are known.
CREATE OR REPLACE FUNCTION stock_unknown_lines(lines jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE AS $function$
BEGIN
    RETURN (
        SELECT jsonb_agg(jsonb_build_object(
                   'sku', part.sku, 'location', part.location, 'unknown_sku', part.item_id IS NULL,
                   'unknown_location', part.location_id IS NULL))
        FROM stock_parts(lines, true) AS part
        WHERE part.item_id IS NULL OR part.location_id IS NULL);
END
$function$;
