-- Book firm demand on levels whose locks the caller holds. What is placed may drive a level below zero: it is gone.
-- References are kept in capitals, as SAP may keep them.
--
-- A document with its number may be known already: then the level is due to be read, since nothing will name it again.
-- Raises unique_violation when demand of this kind and number stands on one of the levels already.
CREATE OR REPLACE FUNCTION stock_place_demand(
    kind text, number text, reference text, whole boolean, channel text, reservation uuid,
    items bigint[], places bigint[], quantities numeric[], effective timestamptz)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    WITH line AS (
        SELECT * FROM unnest(items, places, quantities) AS given(item_id, location_id, quantity)),
    placed AS (
        INSERT INTO stock_demand (kind, number, reference, whole, channel, reservation_id, item_id, location_id,
                                  quantity, effective_at)
        SELECT kind, number, upper(reference), whole, channel, reservation, item_id, location_id, quantity, effective
        FROM line ORDER BY item_id, location_id),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item_id, location_id, 'demand', level.demand, level.demand + line.quantity, kind, number, effective
        FROM line JOIN stock_level AS level USING (item_id, location_id)),
    pooled AS (
        UPDATE stock_pool AS pool SET held = pool.held + line.quantity
        FROM line
        WHERE pool.item_id = line.item_id AND pool.location_id = line.location_id
          AND pool.channel = stock_place_demand.channel),
    due AS (
        INSERT INTO stock_due (source, item, location)
        SELECT place.stock_source, theirs.external_id, there.external_id
        FROM line
        JOIN location AS place ON place.id = line.location_id
        JOIN external_reference AS theirs
          ON theirs.system = place.stock_source AND theirs.kind = 'item' AND theirs.our_id = line.item_id
        JOIN external_reference AS there
          ON there.system = place.stock_source AND there.kind = 'location' AND there.our_id = line.location_id
        WHERE EXISTS (SELECT FROM stock_posting AS posting
                      WHERE posting.reference = upper(stock_place_demand.reference)
                        AND posting.location_id = line.location_id)
        ORDER BY 1, 2, 3
        ON CONFLICT (source, item, location) DO UPDATE SET due_at = clock_timestamp()),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM line JOIN item ON item.id = line.item_id JOIN location AS place ON place.id = line.location_id)
    UPDATE stock_level AS level SET demand = level.demand + line.quantity, changed_at = clock_timestamp()
    FROM line
    WHERE level.item_id = line.item_id AND level.location_id = line.location_id
$function$;
