-- Whom to buy an article from: the first supplier of its list that is available, and how much, at least what lacks.
--
-- No row when there is none.
CREATE OR REPLACE FUNCTION purchasing_offer(wanted_item bigint, lacking numeric)
RETURNS TABLE (code text, name text, lead_time_days integer, article_no text, quantity numeric)
LANGUAGE sql STABLE AS $function$
    SELECT supplier.code, supplier.name, offer.lead_time_days, offer.article_no,
           COALESCE(ceil(GREATEST(lacking, offer.minimum_quantity) / offer.order_multiple) * offer.order_multiple,
                    GREATEST(lacking, offer.minimum_quantity))
    FROM item_supplier AS offer JOIN supplier ON supplier.id = offer.supplier_id
    WHERE offer.item_id = wanted_item AND supplier.available
    ORDER BY offer.position, supplier.code LIMIT 1
$function$;
