-- Take back what a till has told by mistake, at one level and under one number, as a person says. Returns whether any was.
CREATE OR REPLACE FUNCTION stock_not_sold(item bigint, place bigint, wanted_reference text, who text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    taken bigint[];
BEGIN
    PERFORM FROM stock_level WHERE item_id = item AND location_id = place FOR NO KEY UPDATE;
    SELECT array_agg(id) INTO taken FROM stock_demand
    WHERE item_id = item AND location_id = place AND reference = wanted_reference AND kind = 'sale'
      AND state IN ('open', 'cancel_pending');
    IF taken IS NULL THEN
        RETURN false;
    END IF;
    WITH line AS (
        SELECT id, kind, number, channel, quantity - COALESCE(covered, 0) AS quantity FROM stock_demand
        WHERE id = ANY(taken)),
    told AS (
        INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                  effective_at)
        SELECT item, place, 'demand', level.demand - (sum(line.quantity) OVER so_far - line.quantity),
               level.demand - sum(line.quantity) OVER so_far, line.kind || ' not sold, told by ' || who, line.number,
               clock_timestamp()
        FROM line JOIN stock_level AS level ON level.item_id = item AND level.location_id = place
        WINDOW so_far AS (ORDER BY line.id)
        ORDER BY line.id),
    pooled AS (
        UPDATE stock_pool AS pool SET held = pool.held - freed.quantity
        FROM (SELECT channel, sum(quantity) AS quantity FROM line GROUP BY 1) AS freed
        WHERE pool.item_id = item AND pool.location_id = place AND pool.channel = freed.channel)
    UPDATE stock_level SET demand = demand - (SELECT sum(quantity) FROM line), changed_at = clock_timestamp()
    WHERE item_id = item AND location_id = place;
    UPDATE stock_demand SET state = 'released', ended_at = clock_timestamp() WHERE id = ANY(taken);
    PERFORM stock_tell_held(item, place);
    RETURN true;
END
$function$;
