-- Freeze levels since a moment, or thaw them (NULL), those that are not so yet; the ledger tells of it, with the stocktake's
-- number. Called under the lock of their place, or for levels that this transaction has made.
CREATE OR REPLACE FUNCTION stock_mark_frozen(items bigint[], places bigint[], since timestamptz, number bigint)
RETURNS void
LANGUAGE sql VOLATILE AS $function$
    WITH marked AS (
        UPDATE stock_level AS level SET frozen_at = since, changed_at = clock_timestamp()
        WHERE (level.item_id, level.location_id) IN (SELECT * FROM unnest(items, places))
          AND (level.frozen_at IS NULL) = (since IS NOT NULL)
        RETURNING level.item_id, level.location_id)
    INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source, effective_at)
    SELECT item_id, location_id, 'frozen', (since IS NULL)::integer, (since IS NOT NULL)::integer, 'count', number::text,
           clock_timestamp()
    FROM marked ORDER BY item_id, location_id
$function$;
