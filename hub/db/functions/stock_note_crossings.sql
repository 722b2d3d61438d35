-- Note which levels have fallen below their safety stock, each once until it is there again, and which are there again.
--
-- Looks at up to `most` levels that nobody else has locked, under their locks; returns how many there were to note. What
-- has begun is told to followers with whom to buy from, and how much.
CREATE OR REPLACE FUNCTION stock_note_crossings(most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    items bigint[];
    places bigint[];
    begun integer;
    ended integer;
BEGIN
    SELECT array_agg(locked.item_id), array_agg(locked.location_id) INTO items, places
    FROM (
        SELECT level.item_id, level.location_id
        FROM stock_level AS level
        WHERE (level.item_id, level.location_id) IN (
            SELECT short.item_id, short.location_id FROM stock_short() AS short
            WHERE (short.item_id, short.location_id) NOT IN (
                SELECT crossing.item_id, crossing.location_id FROM stock_crossing AS crossing WHERE ended_at IS NULL)
            UNION ALL
            SELECT crossing.item_id, crossing.location_id
            FROM stock_crossing AS crossing JOIN stock_level AS own USING (item_id, location_id)
            WHERE crossing.ended_at IS NULL AND own.frozen_at IS NULL
              AND (crossing.item_id, crossing.location_id) NOT IN (
                SELECT short.item_id, short.location_id FROM stock_short() AS short)
            LIMIT most)
        ORDER BY level.item_id, level.location_id
        FOR NO KEY UPDATE SKIP LOCKED) AS locked;
    IF items IS NULL THEN
        RETURN 0;
    END IF;
    UPDATE stock_crossing AS crossing SET ended_at = clock_timestamp()
    FROM stock_level AS level
    WHERE level.item_id = crossing.item_id AND level.location_id = crossing.location_id
      AND crossing.ended_at IS NULL AND level.frozen_at IS NULL
      AND (crossing.item_id, crossing.location_id) IN (SELECT * FROM unnest(items, places))
      AND NOT EXISTS (SELECT FROM stock_short() AS short
                      WHERE short.item_id = crossing.item_id AND short.location_id = crossing.location_id);
    GET DIAGNOSTICS ended = ROW_COUNT;
    WITH begun AS (
        INSERT INTO stock_crossing (item_id, location_id, began_at, stock, safety_stock, lacking)
        SELECT short.item_id, short.location_id, clock_timestamp(), short.stock, short.safety_stock,
               GREATEST(COALESCE(wanted.target, 2 * short.safety_stock), short.safety_stock) - short.stock
        FROM stock_short() AS short JOIN stock_wanted(items, places) AS wanted USING (item_id, location_id)
        WHERE (short.item_id, short.location_id) IN (SELECT * FROM unnest(items, places))
          AND NOT EXISTS (SELECT FROM stock_crossing AS crossing
                          WHERE crossing.ended_at IS NULL
                            AND crossing.item_id = short.item_id AND crossing.location_id = short.location_id)
        ORDER BY 1, 2
        RETURNING *)
    INSERT INTO outbox (topic, key, payload)
    SELECT 'stock.low', item.sku, jsonb_build_object(
        'sku', item.sku, 'location', place.code, 'stock', trim_scale(begun.stock)::text,
        'safety_stock', trim_scale(begun.safety_stock)::text,
        'quantity', trim_scale(COALESCE(offer.quantity, begun.lacking))::text, 'supplier', offer.code,
        'supplier_name', offer.name, 'article_no', offer.article_no, 'lead_time_days', offer.lead_time_days)
    FROM begun
    JOIN item ON item.id = begun.item_id
    JOIN location AS place ON place.id = begun.location_id
    LEFT JOIN LATERAL purchasing_offer(begun.item_id, begun.lacking) AS offer ON true
    ORDER BY begun.id;
    GET DIAGNOSTICS begun = ROW_COUNT;
    RETURN begun + ended;
END
$function$;
