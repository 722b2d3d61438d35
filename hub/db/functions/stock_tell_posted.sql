-- Note that the ERP has posted a case by a document that does not carry its number, as a person says.
--
-- Demand: a line of that document stands in the list under the number from `tick` on, as if the ERP had told of it. The next
-- read covers it by the rule, and the level is due to be read. Supply: it counts no more, at once. What is told of a document
-- at a level once, it stands for alone.
-- Returns `told`, `taken` when the document stands for another number there, or `nothing` when nothing waits for one.
CREATE OR REPLACE FUNCTION stock_tell_posted(
    item bigint, place bigint, wanted_reference text, document text, tick bigint, who text)
RETURNS text
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    of_source text;
    missing numeric;
    noted integer;
    ended numeric;
BEGIN
    SELECT stock_source INTO of_source FROM location WHERE id = place;
    PERFORM pg_advisory_xact_lock(hashtext('oneshelf.look'), hashtext(of_source));
    PERFORM FROM stock_level WHERE item_id = item AND location_id = place FOR NO KEY UPDATE;
    SELECT sum(quantity) INTO ended FROM stock_supply
    WHERE item_id = item AND location_id = place AND upper(number) = wanted_reference AND state = 'open' AND counted;
    IF ended IS NOT NULL THEN
        WITH line AS (
            UPDATE stock_supply SET state = 'posted', counted = false, ended_at = clock_timestamp()
            WHERE item_id = item AND location_id = place AND upper(number) = wanted_reference AND state = 'open' AND counted
            RETURNING id, kind, number, quantity),
        told AS (
            INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source,
                                      effective_at)
            SELECT item, place, 'supply', level.supply - (sum(line.quantity) OVER so_far - line.quantity),
                   level.supply - sum(line.quantity) OVER so_far,
                   line.kind || ' posted as ' || document || ', told by ' || who, line.number, clock_timestamp()
            FROM line JOIN stock_level AS level ON level.item_id = item AND level.location_id = place
            WINDOW so_far AS (ORDER BY line.id)
            ORDER BY line.id)
        UPDATE stock_level SET supply = supply - ended, changed_at = clock_timestamp()
        WHERE item_id = item AND location_id = place;
        PERFORM stock_tell_held(item, place);
        RETURN 'told';
    END IF;
    SELECT sum(quantity) - COALESCE((
        SELECT sum(posting.quantity) FROM stock_posting AS posting
        WHERE posting.reference = wanted_reference AND posting.item_id = item AND posting.location_id = place
          AND posting.source = of_source AND posting.posted), 0)
    INTO missing
    FROM stock_demand
    WHERE item_id = item AND location_id = place AND reference = wanted_reference
      AND state IN ('open', 'cancel_pending', 'posted')
    HAVING bool_or(whole OR state <> 'posted');
    IF of_source IS NULL OR missing IS NULL OR missing <= 0 THEN
        RETURN 'nothing';
    END IF;
    INSERT INTO stock_posting AS known
        (source, document, item_id, location_id, reference, quantity, posted, changed, told_by)
    VALUES (of_source, document || '/told', item, place, wanted_reference, missing, true, tick, who)
    ON CONFLICT (source, document, item_id, location_id) DO UPDATE
    SET quantity = excluded.quantity, posted = true, changed = excluded.changed, changed_at = clock_timestamp(),
        told_by = excluded.told_by
    WHERE known.reference = excluded.reference AND NOT known.posted;
    GET DIAGNOSTICS noted = ROW_COUNT;
    IF noted = 0 THEN
        RETURN 'taken';
    END IF;
    INSERT INTO stock_ledger (item_id, location_id, status, quantity_before, quantity_after, cause, source, effective_at)
    SELECT item, place, 'demand', level.demand, level.demand,
           demand.kind || ' posted as ' || document || ', told by ' || who, demand.number, clock_timestamp()
    FROM stock_demand AS demand JOIN stock_level AS level USING (item_id, location_id)
    WHERE demand.item_id = item AND demand.location_id = place AND demand.reference = wanted_reference
      AND demand.state IN ('open', 'cancel_pending')
    ORDER BY demand.id;
    INSERT INTO stock_due (source, item, location)
    SELECT of_source, theirs.external_id, there.external_id
    FROM external_reference AS theirs JOIN external_reference AS there ON there.system = theirs.system
    WHERE theirs.system = of_source AND theirs.kind = 'item' AND theirs.our_id = item
      AND there.kind = 'location' AND there.our_id = place
    ORDER BY 2, 3
    ON CONFLICT (source, item, location) DO UPDATE SET due_at = clock_timestamp();
    RETURN 'told';
END
$function$;
