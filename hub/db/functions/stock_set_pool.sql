-- Set part of a level apart for a channel: a fixed quantity, or a share in percent of its base less safety stock; neither:
-- nothing any more.
--
-- Returns false when there is no such level. What the channel holds already counts as taken from its pool.
CREATE OR REPLACE FUNCTION stock_set_pool(
    sku text, location text, channel text, ring_fenced numeric, percent numeric)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    level stock_level;
BEGIN
    SELECT found.* INTO level
    FROM stock_level AS found
    JOIN item ON item.id = found.item_id AND item.sku = stock_set_pool.sku
    JOIN location AS place ON place.id = found.location_id AND place.code = stock_set_pool.location
    FOR NO KEY UPDATE OF found;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF stock_set_pool.ring_fenced IS NULL AND stock_set_pool.percent IS NULL THEN
        DELETE FROM stock_pool AS pool
        WHERE pool.item_id = level.item_id AND pool.location_id = level.location_id
          AND pool.channel = stock_set_pool.channel;
    ELSE
        INSERT INTO stock_pool AS pool (item_id, location_id, channel, ring_fenced, percent, held)
        SELECT level.item_id, level.location_id, stock_set_pool.channel, stock_set_pool.ring_fenced,
               stock_set_pool.percent, COALESCE(sum(taken.quantity), 0)
        FROM (
            SELECT bucket.quantity FROM hold_bucket AS bucket
            WHERE bucket.item_id = level.item_id AND bucket.location_id = level.location_id
              AND bucket.channel = stock_set_pool.channel
            UNION ALL
            SELECT demand.quantity - COALESCE(demand.covered, 0) FROM stock_demand AS demand
            WHERE demand.item_id = level.item_id AND demand.location_id = level.location_id
              AND demand.channel = stock_set_pool.channel AND demand.state IN ('open', 'cancel_pending')) AS taken
        ON CONFLICT (item_id, location_id, channel)
        DO UPDATE SET ring_fenced = excluded.ring_fenced, percent = excluded.percent, held = excluded.held;
    END IF;
    UPDATE stock_level AS own
    SET pooled = EXISTS (SELECT FROM stock_pool AS pool
                         WHERE pool.item_id = level.item_id AND pool.location_id = level.location_id)
    WHERE own.item_id = level.item_id AND own.location_id = level.location_id;
    RETURN true;
END
$function$;
