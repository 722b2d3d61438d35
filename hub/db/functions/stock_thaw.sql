-- Promise the stock of a place again after a count, and keep what became of its levels meanwhile.
--
-- Of the change of a base, the part that is explained is what reads found posted under numbers of ours: demand that they
-- began to contain, supply that they may contain. Returns the number of the stocktake; NULL when the place is not being
-- counted.
CREATE OR REPLACE FUNCTION stock_thaw(code text)
RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    place_id bigint;
    counted stocktake;
BEGIN
    place_id := stock_lock_place(code);
    SELECT * INTO counted FROM stocktake WHERE location_id = place_id AND thawed_at IS NULL;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    WITH moved AS (
        SELECT entry.item_id,
               (array_agg(entry.quantity_before ORDER BY entry.id) FILTER (WHERE entry.status = 'sellable'))[1] AS base,
               sum(CASE entry.status WHEN 'demand' THEN entry.quantity_after - entry.quantity_before
                                     WHEN 'supply' THEN entry.quantity_before - entry.quantity_after
                                     ELSE 0 END) FILTER (WHERE entry.batch_id IS NOT NULL) AS explained
        FROM stock_ledger AS entry
        WHERE entry.location_id = place_id AND entry.id > counted.ledger_from AND entry.owner = ''
        GROUP BY 1),
    line AS (
        SELECT level.item_id, COALESCE(moved.base, level.on_hand) AS base_before, level.on_hand AS base_after,
               COALESCE(moved.explained, 0) AS explained, level.demand, level.supply
        FROM stock_level AS level LEFT JOIN moved USING (item_id)
        WHERE level.location_id = place_id)
    INSERT INTO stocktake_line (stocktake_id, item_id, base_before, base_after, explained, demand, supply)
    SELECT counted.id, line.* FROM line
    WHERE line.base_before <> line.base_after OR line.explained <> 0 OR line.demand <> 0 OR line.supply <> 0
    ORDER BY line.item_id;
    UPDATE stocktake
    SET thawed_at = clock_timestamp(),
        levels = (SELECT count(*) FROM stock_level AS level WHERE level.location_id = place_id)
    WHERE id = counted.id;
    PERFORM stock_mark_frozen(array_agg(level.item_id), array_agg(level.location_id), NULL, counted.id)
    FROM stock_level AS level WHERE level.location_id = place_id;
    PERFORM stock_tell_place(place_id);
    RETURN counted.id;
END
$function$;
