-- Let what holds at their places hold for levels that have just appeared, in the transaction that made them: what rules
-- withhold, and that nothing is promised while the place is counted.
CREATE OR REPLACE FUNCTION stock_begin_levels(items bigint[], places bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    PERFORM stock_withhold(items, places, false);
    PERFORM stock_mark_frozen(array_agg(made.item_id), array_agg(made.location_id), stocktake.frozen_at, stocktake.id)
    FROM unnest(items, places) AS made(item_id, location_id)
    JOIN stocktake ON stocktake.location_id = made.location_id AND stocktake.thawed_at IS NULL
    GROUP BY stocktake.id;
END
$function$;
