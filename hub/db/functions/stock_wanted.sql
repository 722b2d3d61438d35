-- What is to be withheld of these levels, by the rule that is the most specific for it: of its article here, its article, its
-- category here, its category, all here, all. Without a rule it is nothing.
--
-- A buffer that follows the lag grows by factor × rate × lag, rounded up. The lag is how old the source's numbers are, in
-- steps of ten seconds, so that the buffer does not change with every look.
CREATE OR REPLACE FUNCTION stock_wanted(items bigint[], places bigint[])
RETURNS TABLE (
    item_id bigint, location_id bigint, safety_stock numeric, buffer numeric, target numeric, named text)
LANGUAGE sql STABLE AS $function$
    SELECT level.item_id, level.location_id, COALESCE(rule.safety_stock, 0),
           COALESCE(rule.buffer + ceil(
               rule.buffer_lag_factor * COALESCE(rate.per_second, 0)
               * COALESCE(10 * ceil(GREATEST(EXTRACT(EPOCH FROM statement_timestamp() - feed.read_at), 0) / 10), 0)), 0),
           rule.target,
           CASE WHEN rule.item_id IS NOT NULL THEN 'item ' || item.sku
                WHEN rule.category IS NOT NULL THEN 'category ' || rule.category
                WHEN rule.id IS NOT NULL THEN 'all' ELSE 'no rule' END
           || CASE WHEN rule.location_id IS NOT NULL THEN ' at ' || place.code ELSE '' END
    FROM unnest(items, places) AS given(item_id, location_id)
    JOIN stock_level AS level ON level.item_id = given.item_id AND level.location_id = given.location_id
    JOIN item ON item.id = level.item_id
    JOIN location AS place ON place.id = level.location_id
    LEFT JOIN feed ON feed.source = place.stock_source
    LEFT JOIN stock_rate AS rate ON rate.item_id = level.item_id AND rate.location_id = level.location_id
    -- Each of these asks the index of the scopes for one rule.
    LEFT JOIN stock_rule AS item_here
      ON item_here.item_id = level.item_id AND item_here.category IS NULL AND item_here.location_id = level.location_id
    LEFT JOIN stock_rule AS of_item
      ON of_item.item_id = level.item_id AND of_item.category IS NULL AND of_item.location_id IS NULL
    LEFT JOIN stock_rule AS category_here
      ON category_here.item_id IS NULL AND category_here.category = item.category
     AND category_here.location_id = level.location_id
    LEFT JOIN stock_rule AS of_category
      ON of_category.item_id IS NULL AND of_category.category = item.category AND of_category.location_id IS NULL
    LEFT JOIN stock_rule AS all_here
      ON all_here.item_id IS NULL AND all_here.category IS NULL AND all_here.location_id = level.location_id
    LEFT JOIN stock_rule AS of_all
      ON of_all.item_id IS NULL AND of_all.category IS NULL AND of_all.location_id IS NULL
    LEFT JOIN stock_rule AS rule
      ON rule.id = COALESCE(item_here.id, of_item.id, category_here.id, of_category.id, all_here.id, of_all.id)
$function$;
