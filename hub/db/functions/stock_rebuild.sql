-- Make the counters of a level anew from their rows, under its lock: buckets from reservations, and held, demand, supply and
-- pools from theirs. The ledger says what they are now, and what it did not know before.
--
-- Returns what was changed, as {name: [before, after]}; NULL when there is no such level.
CREATE OR REPLACE FUNCTION stock_rebuild(wanted_sku text, wanted_location text, who text)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    old stock_level;
    new stock_level;
    moment timestamptz;
    changed jsonb := '{}';
    pools numeric;
    buckets numeric;
BEGIN
    SELECT level.* INTO old
    FROM stock_level AS level
    JOIN item ON item.id = level.item_id AND item.sku = wanted_sku
    JOIN location AS place ON place.id = level.location_id AND place.code = wanted_location
    FOR NO KEY UPDATE OF level;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    moment := clock_timestamp();
    PERFORM stock_close_expired(
        ARRAY[old.item_id], ARRAY[old.location_id], floor(EXTRACT(EPOCH FROM moment))::bigint, moment);
    SELECT level.* INTO old FROM stock_level AS level
    WHERE level.item_id = old.item_id AND level.location_id = old.location_id;
    SELECT COALESCE(sum(quantity), 0) INTO buckets FROM hold_bucket
    WHERE item_id = old.item_id AND location_id = old.location_id;
    DELETE FROM hold_bucket WHERE item_id = old.item_id AND location_id = old.location_id;
    INSERT INTO hold_bucket (item_id, location_id, channel, expires_second, quantity)
    SELECT line.item_id, line.location_id, held.channel, held.expires_second, sum(line.quantity)
    FROM reservation AS held JOIN reservation_line AS line ON line.reservation_id = held.id
    WHERE held.state = 'active' AND held.expires_second > old.closed_through
      AND line.item_id = old.item_id AND line.location_id = old.location_id
    GROUP BY 1, 2, 3, 4;
    UPDATE stock_level AS level
    SET held = COALESCE((SELECT sum(quantity) FROM hold_bucket
                         WHERE item_id = old.item_id AND location_id = old.location_id), 0),
        next_expiry = (SELECT min(expires_second) FROM hold_bucket
                       WHERE item_id = old.item_id AND location_id = old.location_id),
        demand = COALESCE((SELECT sum(quantity - COALESCE(covered, 0)) FROM stock_demand
                           WHERE item_id = old.item_id AND location_id = old.location_id
                             AND state IN ('open', 'cancel_pending')), 0),
        supply = COALESCE((SELECT sum(quantity) FROM stock_supply
                           WHERE item_id = old.item_id AND location_id = old.location_id AND state = 'open' AND counted), 0),
        changed_at = moment
    WHERE level.item_id = old.item_id AND level.location_id = old.location_id
    RETURNING level.* INTO new;
    SELECT sum(held) INTO pools FROM stock_pool
    WHERE item_id = old.item_id AND location_id = old.location_id;
    UPDATE stock_pool AS pool SET held = COALESCE((
        SELECT sum(part.quantity) FROM (
            SELECT channel, quantity FROM hold_bucket
            WHERE item_id = old.item_id AND location_id = old.location_id
            UNION ALL
            SELECT channel, quantity - COALESCE(covered, 0) FROM stock_demand
            WHERE item_id = old.item_id AND location_id = old.location_id AND state IN ('open', 'cancel_pending')) AS part
        WHERE part.channel = pool.channel), 0)
    WHERE pool.item_id = old.item_id AND pool.location_id = old.location_id;
    INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source, effective_at)
    SELECT old.item_id, old.location_id, sums.status, last.quantity, sums.quantity, 'rebuilt by ' || who, '', moment
    FROM (VALUES ('sellable', old.on_hand, new.on_hand), ('demand', old.demand, new.demand),
                 ('supply', old.supply, new.supply), ('safety_stock', old.safety_stock, new.safety_stock),
                 ('buffer', old.buffer, new.buffer)) AS sums(status, before, quantity)
    CROSS JOIN LATERAL (
        SELECT COALESCE((SELECT entry.quantity_after FROM stock_ledger AS entry
                         WHERE entry.item_id = old.item_id AND entry.location_id = old.location_id
                           AND entry.status = sums.status AND entry.owner = ''
                         ORDER BY entry.id DESC LIMIT 1), 0) AS quantity) AS last
    WHERE sums.before <> sums.quantity OR last.quantity <> sums.quantity
    ORDER BY sums.status;
    SELECT COALESCE(jsonb_object_agg(sums.name, jsonb_build_array(sums.before::text, sums.after::text)), '{}') INTO changed
    FROM (VALUES ('held', old.held, new.held), ('demand', old.demand, new.demand), ('supply', old.supply, new.supply),
                 ('buckets', buckets, new.held),
                 ('pools', pools, (SELECT sum(held) FROM stock_pool
                                      WHERE item_id = old.item_id AND location_id = old.location_id)))
        AS sums(name, before, after)
    WHERE sums.before <> sums.after;
    PERFORM stock_tell_held(old.item_id, old.location_id);
    RETURN changed;
END
$function$;
