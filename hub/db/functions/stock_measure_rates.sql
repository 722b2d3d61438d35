-- Measure how fast the base of each level falls without any number of ours, per second, over the last days.
--
-- What it fell by in reads, less what of our demand these reads began to contain. A level that is younger is measured over
-- its age, at least a day. What comes in and goes out between two reads of a level is not seen. Returns how many levels
-- fell.
CREATE OR REPLACE FUNCTION stock_measure_rates(days integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    fell integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('oneshelf.stock_rates'));
    DELETE FROM stock_rate;
    WITH reads AS (
        SELECT entry.item_id, entry.location_id, entry.batch_id,
               COALESCE(sum(entry.quantity_before - entry.quantity_after) FILTER (WHERE entry.status = 'sellable'), 0) AS fall,
               COALESCE(sum(entry.quantity_before - entry.quantity_after) FILTER (WHERE entry.status = 'demand'), 0) AS ours
        FROM stock_ledger AS entry
        WHERE entry.recorded_at >= now() - make_interval(days => days) AND entry.batch_id IS NOT NULL
          AND entry.status IN ('sellable', 'demand') AND entry.owner = ''
        GROUP BY 1, 2, 3),
    level AS (
        SELECT reads.item_id, reads.location_id, sum(GREATEST(reads.fall, 0) - GREATEST(reads.ours, 0)) AS fallen
        FROM reads GROUP BY 1, 2)
    INSERT INTO stock_rate (item_id, location_id, fallen, per_second)
    SELECT level.item_id, level.location_id, level.fallen,
           level.fallen / LEAST(days * 86400, GREATEST(86400, EXTRACT(EPOCH FROM now() - first.recorded_at)))
    FROM level
    CROSS JOIN LATERAL (
        SELECT entry.recorded_at FROM stock_ledger AS entry
        WHERE entry.item_id = level.item_id AND entry.location_id = level.location_id
        ORDER BY entry.id LIMIT 1) AS first
    WHERE level.fallen > 0;
    GET DIAGNOSTICS fell = ROW_COUNT;
    RETURN fell;
END
$function$;
