-- Call demand posted that the base contains as a whole and of which no posting has changed for so many hours: it is open no
-- more, until one of its documents changes (hub/stock/postings.py). Returns how much of it, at most `most`.
--
-- What has changed since the base began is judged by the next base, however long that takes, and stays open until then.
-- It takes turns with the looks of the source, which take postings back, and holds the levels' locks, under which what is
-- covered changes. What counts on the levels stays as it is: nothing of such demand is uncovered.
CREATE OR REPLACE FUNCTION stock_settle_posted(of_source text, hours integer, most integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
    settled bigint[];
    posted integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('oneshelf.look'), hashtext(of_source));
    SELECT array_agg(found.id) INTO settled
    FROM (
        SELECT demand.id
        FROM stock_demand AS demand
        JOIN location AS place ON place.id = demand.location_id
        JOIN stock_level AS level ON level.item_id = demand.item_id AND level.location_id = demand.location_id
        WHERE demand.state = 'open' AND demand.covered = demand.quantity AND place.stock_source = of_source
          AND NOT EXISTS (
                SELECT FROM stock_posting AS posting
                WHERE posting.reference = demand.reference AND posting.location_id = demand.location_id
                  AND (demand.whole OR posting.item_id = demand.item_id)
                  AND (posting.changed_at > clock_timestamp() - make_interval(hours => hours)
                       OR posting.changed >= level.read_began))
        LIMIT most) AS found;
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (SELECT item_id, location_id FROM stock_demand WHERE id = ANY(settled))
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    UPDATE stock_demand SET state = 'posted', ended_at = clock_timestamp()
    WHERE id = ANY(settled) AND state = 'open' AND covered = quantity;
    GET DIAGNOSTICS posted = ROW_COUNT;
    RETURN posted;
END
$function$;
