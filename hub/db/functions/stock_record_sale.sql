-- Book what a store has sold: it is gone, so it is demand at once, whatever the level says.
--
-- `brought_back` are the lines that the same receipt takes back: the ERP's document of it nets them, or has lines of them
-- too, so that what stands posted is less than what was sold. They count when the ERP's stock shows them.
-- Returns the lines that nobody knows, and books nothing then; NULL when all is booked.
CREATE OR REPLACE FUNCTION stock_record_sale(
    number text, reference text, whole boolean, sold_through text, lines jsonb, brought_back jsonb,
    effective timestamptz)
RETURNS jsonb
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    items bigint[];
    places bigint[];
    quantities numeric[];
    unknown jsonb;
    back jsonb;
BEGIN
    SELECT stock_unknown_lines(brought_back) INTO back;
    IF back IS NOT NULL THEN
        RETURN back || COALESCE(stock_unknown_lines(lines), '[]');
    END IF;
    SELECT * INTO items, places, quantities, unknown FROM stock_lock_lines(lines);
    IF unknown IS NOT NULL OR items IS NULL THEN
        RETURN unknown;
    END IF;
    PERFORM stock_place_demand('sale', number, reference, whole, sold_through, NULL, items, places, quantities,
                               effective);
    UPDATE stock_demand AS demand SET returned = part.quantity
    FROM stock_parts(brought_back, true) AS part
    WHERE demand.kind = 'sale' AND demand.number = stock_record_sale.number
      AND demand.item_id = part.item_id AND demand.location_id = part.location_id;
    RETURN NULL;
END
$function$;
