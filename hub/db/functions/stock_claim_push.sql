-- Note that demand is about to be sent to the ERP; false if it is not to be sent any more. The first attempt's tick stays.
--
-- Under the levels' locks, as everything that writes demand: cancelling waits for it, and nobody for each other in a circle.
CREATE OR REPLACE FUNCTION stock_claim_push(wanted_kind text, wanted_number text, tick bigint)
RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
    PERFORM FROM stock_level AS level
    WHERE (level.item_id, level.location_id) IN (
        SELECT item_id, location_id FROM stock_demand WHERE kind = wanted_kind AND number = wanted_number)
    ORDER BY level.item_id, level.location_id
    FOR NO KEY UPDATE;
    -- as a person says, it stands there already, by a document that does not carry its number
    IF EXISTS (
        SELECT FROM stock_demand AS demand JOIN stock_posting AS posting USING (reference, item_id, location_id)
        WHERE demand.kind = wanted_kind AND demand.number = wanted_number AND posting.told_by <> '' AND posting.posted)
    THEN
        RETURN false;
    END IF;
    UPDATE stock_demand SET push_sent = COALESCE(push_sent, tick)
    WHERE kind = wanted_kind AND number = wanted_number AND state = 'open';
    RETURN FOUND;
END
$function$;
