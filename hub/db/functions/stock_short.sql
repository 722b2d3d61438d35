-- Levels below their safety stock: what is there and not sold or held, what has expired counts as free. Levels that are
-- being counted are left out.
CREATE OR REPLACE FUNCTION stock_short()
RETURNS TABLE (item_id bigint, location_id bigint, stock numeric, safety_stock numeric)
LANGUAGE sql STABLE AS $function$
    SELECT level.item_id, level.location_id, free.stock, level.safety_stock
    FROM stock_level AS level
    JOIN item ON item.id = level.item_id AND item.active
    JOIN location AS place ON place.id = level.location_id AND place.active
    CROSS JOIN LATERAL (
        SELECT level.on_hand - level.demand + level.supply - level.held + CASE
            WHEN level.next_expiry <= EXTRACT(EPOCH FROM statement_timestamp()) THEN (
                SELECT COALESCE(sum(bucket.quantity), 0) FROM hold_bucket AS bucket
                WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id
                  AND bucket.expires_second <= EXTRACT(EPOCH FROM statement_timestamp()))
            ELSE 0 END AS stock) AS free
    WHERE (level.safety_stock <> 0 OR level.buffer <> 0)  -- as the index has it
      AND level.frozen_at IS NULL AND free.stock < level.safety_stock
$function$;
