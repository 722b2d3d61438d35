-- Group commit: many reservations in one statement, each with an outcome of its own, as if they had come one by one.
--
-- asked: a JSON array of {"n", "principal", "key", "route", "digest", "id", "channel", "everywhere", "cart", "ttl",
-- "lines": [{"sku", "location", "quantity"}]}; n counts the requests in the order in which they are served; without
-- everywhere, only places that sell online are known.
-- Returns for each n when it expires (Unix time) or what is the matter; nothing for a request whose key was used before:
-- its stored outcome is for another statement to read, since this one may not see it.
--
-- The order is what makes it exact: first the keys are inserted, sorted; then the levels are locked, sorted; everything
-- else is read by statements that begin later, and changes only under these locks; and the clock is asked when they are
-- held.
CREATE OR REPLACE FUNCTION stock_reserve(asked json)
RETURNS TABLE (n integer, expires_second bigint, problem text, problem_lines jsonb)
LANGUAGE plpgsql VOLATILE AS $function$
#variable_conflict use_column
DECLARE
    fresh integer[];
    line_request integer[];
    line_channel text[];
    line_item bigint[];
    line_place bigint[];
    line_quantity numeric[];
    line_level integer[];
    unknown_lines jsonb;
    line_pool integer[];
    level_item bigint[];
    level_place bigint[];
    level_room numeric[];
    level_closed bigint[];
    pool_room numeric[];
    any_pooled boolean;
    next_end bigint;
    moment timestamptz;
    clock bigint;
    latest bigint;
    accepted integer[] := '{}';
    accepted_from bigint[] := '{}';
    lacking_line integer[] := '{}';
    lacking_room numeric[] := '{}';
    first integer := 1;
    behind integer;
    here numeric;
    fits boolean;
BEGIN
    WITH request AS (
        SELECT * FROM json_to_recordset(asked)
            AS r(n integer, principal text, key text, route text, digest text, id uuid)),
    kept AS (
        INSERT INTO idempotency_key (principal, key, route, digest, reservation_id)
        SELECT principal, key, route, decode(digest, 'hex'), id FROM request ORDER BY principal, key, n
        ON CONFLICT DO NOTHING
        RETURNING reservation_id)
    SELECT array_agg(request.n) INTO fresh
    FROM request JOIN kept ON kept.reservation_id = request.id;
    IF fresh IS NULL THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM json_to_recordset(asked) AS r(n integer, lines json)
               WHERE r.n = ANY(fresh) AND json_array_length(r.lines) = 0) THEN
        RAISE EXCEPTION 'a reservation without lines' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- In components, each item of a request once. Looked up one by one: joined, all articles would be read, since the
    -- planner takes any JSON for a long list.
    WITH line AS MATERIALIZED (
        SELECT r.n, r.channel, l.quantity,
               l.sku, l.location,
               -- A kit with a part that is not sold any more, or that is a kit itself, is none.
               (SELECT item.id FROM item WHERE item.sku = l.sku AND item.active AND NOT EXISTS (
                    SELECT FROM kit_component AS component JOIN item AS part ON part.id = component.item_id
                    WHERE component.kit_id = item.id
                      AND (NOT part.active OR part.id IN (SELECT kit_id FROM kit_component)))) AS item_id,
               (SELECT place.id FROM location AS place WHERE place.code = l.location AND place.active
                AND (r.everywhere OR place.sellable_online)) AS location_id
        FROM json_to_recordset(asked) AS r(n integer, channel text, everywhere boolean, lines json)
        CROSS JOIN LATERAL json_to_recordset(r.lines) AS l(sku text, location text, quantity numeric)
        WHERE r.n = ANY(fresh)),
    part AS (
        SELECT line.n, COALESCE(component.item_id, line.item_id) AS item_id, line.location_id, line.channel,
               sum(line.quantity * COALESCE(component.quantity, 1)) AS quantity
        FROM line
        LEFT JOIN LATERAL (SELECT * FROM kit_component WHERE kit_id = line.item_id OFFSET 0) AS component ON true
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 3)
    SELECT array_agg(n), array_agg(channel), array_agg(item_id), array_agg(location_id), array_agg(quantity),
           (SELECT jsonb_object_agg(n, lines) FROM (
                SELECT n, jsonb_agg(jsonb_build_object(
                    'sku', sku, 'location', location, 'unknown_sku', item_id IS NULL,
                    'unknown_location', location_id IS NULL) ORDER BY sku, location) AS lines
                FROM line WHERE item_id IS NULL OR location_id IS NULL GROUP BY n) AS unknown)
    INTO line_request, line_channel, line_item, line_place, line_quantity, unknown_lines
    FROM part;

    SELECT array_agg(item_id), array_agg(location_id), array_agg(room), array_agg(closed_through), bool_or(pooled),
           min(next_expiry)
    INTO level_item, level_place, level_room, level_closed, any_pooled, next_end
    FROM (
        SELECT level.item_id, level.location_id, level.pooled, level.room, level.next_expiry,
               level.closed_through
        FROM stock_level AS level
        WHERE (level.item_id, level.location_id) IN (SELECT * FROM unnest(line_item, line_place))
        ORDER BY level.item_id, level.location_id
        FOR NO KEY UPDATE) AS locked;
    moment := clock_timestamp();
    clock := floor(EXTRACT(EPOCH FROM moment));
    IF next_end <= clock THEN
        PERFORM stock_close_expired(level_item, level_place, clock, moment);
        SELECT array_agg(level.room ORDER BY level.item_id, level.location_id) INTO level_room
        FROM stock_level AS level
        WHERE (level.item_id, level.location_id) IN (SELECT * FROM unnest(level_item, level_place));
    END IF;

    SELECT array_agg(level.position ORDER BY line.position) INTO line_level
    FROM unnest(line_item, line_place) WITH ORDINALITY AS line(item_id, location_id, position)
    LEFT JOIN unnest(level_item, level_place) WITH ORDINALITY AS level(item_id, location_id, position)
      USING (item_id, location_id);
    IF any_pooled THEN
        SELECT pools.line_pool, pools.pool_room INTO line_pool, pool_room
        FROM stock_pools(line_channel, line_item, line_place) AS pools;
    END IF;

    -- One by one, in the order of n; a request that lacks one line takes nothing.
    WHILE first <= cardinality(line_request) LOOP
        fits := true;
        behind := first;
        latest := clock;
        WHILE behind <= cardinality(line_request) AND line_request[behind] = line_request[first] LOOP
            here := COALESCE(level_room[line_level[behind]], 0);
            IF line_pool IS NOT NULL AND line_pool[behind] IS NOT NULL THEN
                here := LEAST(here, pool_room[line_pool[behind]]);
            END IF;
            IF line_item[behind] IS NULL OR line_place[behind] IS NULL OR here < line_quantity[behind] THEN
                fits := false;
                lacking_line := lacking_line || behind;
                lacking_room := lacking_room || here;
            END IF;
            -- A clock that was set back does not open again what has ended: a new end lies behind it.
            latest := GREATEST(latest, level_closed[line_level[behind]]);
            behind := behind + 1;
        END LOOP;
        IF fits THEN
            accepted := accepted || line_request[first];
            accepted_from := accepted_from || latest;
            FOR taken IN first..behind - 1 LOOP
                level_room[line_level[taken]] := level_room[line_level[taken]] - line_quantity[taken];
                IF line_pool IS NOT NULL AND line_pool[taken] IS NOT NULL THEN
                    pool_room[line_pool[taken]] := pool_room[line_pool[taken]] - line_quantity[taken];
                END IF;
            END LOOP;
        END IF;
        first := behind;
    END LOOP;

    -- A second that has begun is not cut short: a reservation lasts for at least its ttl.
    WITH request AS (
        SELECT r.*, taken.latest + 1 + r.ttl AS ends
        FROM json_to_recordset(asked)
            AS r(n integer, principal text, id uuid, channel text, cart text, ttl integer, lines jsonb)
        JOIN unnest(accepted, accepted_from) AS taken(n, latest) ON taken.n = r.n),
    made AS (
        INSERT INTO reservation (id, principal, channel, cart_id, state, asked, created_at, first_expiry,
                                 expires_second)
        SELECT id, principal, channel, cart, 'active', lines, moment, ends, ends FROM request ORDER BY n),
    line AS (
        SELECT request.id, request.channel, request.ends, held.item_id, held.location_id, held.quantity
        FROM unnest(line_request, line_item, line_place, line_quantity) AS held(n, item_id, location_id, quantity)
        JOIN request ON request.n = held.n),
    lined AS (
        INSERT INTO reservation_line (reservation_id, item_id, location_id, quantity)
        SELECT id, item_id, location_id, quantity FROM line),
    told AS (
        INSERT INTO hold_event (recorded_at, item_id, location_id, channel, reservation_id, kind, quantity,
                                effective_at)
        SELECT moment, item_id, location_id, channel, id, 'held', quantity, moment FROM line),
    bucketed AS (
        INSERT INTO hold_bucket AS bucket (item_id, location_id, expires_second, channel, quantity)
        SELECT item_id, location_id, ends, channel, sum(quantity) FROM line GROUP BY 1, 2, 3, 4
        ON CONFLICT (item_id, location_id, expires_second, channel)
        DO UPDATE SET quantity = bucket.quantity + excluded.quantity),
    pooled AS (
        UPDATE stock_pool AS pool SET held = pool.held + taken.quantity
        FROM (SELECT item_id, location_id, channel, sum(quantity) AS quantity FROM line GROUP BY 1, 2, 3) AS taken
        WHERE pool.item_id = taken.item_id AND pool.location_id = taken.location_id
          AND pool.channel = taken.channel),
    published AS (
        INSERT INTO outbox (topic, key, payload)
        SELECT 'stock.held', item.sku, jsonb_build_object('sku', item.sku, 'location', place.code)
        FROM (SELECT DISTINCT item_id, location_id FROM line) AS changed
        JOIN item ON item.id = changed.item_id JOIN location AS place ON place.id = changed.location_id)
    UPDATE stock_level AS level
    SET held = level.held + taken.quantity, next_expiry = LEAST(level.next_expiry, taken.ends)
    FROM (SELECT item_id, location_id, sum(quantity) AS quantity, min(ends) AS ends FROM line GROUP BY 1, 2) AS taken
    WHERE level.item_id = taken.item_id AND level.location_id = taken.location_id;

    IF cardinality(lacking_line) > 0 THEN
        RETURN QUERY
        WITH lacking AS (
            SELECT line_request[given.line] AS n, line_item[given.line] AS item_id,
                   line_place[given.line] AS location_id, line_quantity[given.line] AS quantity, given.room
            FROM unnest(lacking_line, lacking_room) AS given(line, room)),
        refused AS (
            SELECT key::integer AS n, 'unknown' AS problem, value AS lines FROM jsonb_each(unknown_lines)
            UNION ALL
            SELECT lacking.n, CASE WHEN bool_or(level.frozen_at IS NOT NULL) THEN 'frozen' ELSE 'insufficient' END,
                   jsonb_agg(jsonb_build_object(
                       'sku', item.sku, 'location', place.code, 'requested', trim_scale(lacking.quantity)::text,
                       'available', trim_scale(GREATEST(lacking.room, 0))::text) ORDER BY item.sku, place.code)
            FROM lacking
            JOIN item ON item.id = lacking.item_id
            JOIN location AS place ON place.id = lacking.location_id
            LEFT JOIN stock_level AS level
              ON level.item_id = lacking.item_id AND level.location_id = lacking.location_id
            WHERE NOT COALESCE(unknown_lines ? lacking.n::text, false)
            GROUP BY lacking.n),
        kept AS (
            UPDATE idempotency_key AS stored
            SET outcome = jsonb_build_object('problem', refused.problem, 'lines', refused.lines), reservation_id = NULL
            FROM json_to_recordset(asked) AS r(n integer, principal text, key text)
            JOIN refused ON refused.n = r.n
            WHERE stored.principal = r.principal AND stored.key = r.key)
        SELECT refused.n, NULL::bigint, refused.problem, refused.lines FROM refused;
    END IF;
    RETURN QUERY
        SELECT r.n, taken.latest + 1 + r.ttl, NULL::text, NULL::jsonb
        FROM json_to_recordset(asked) AS r(n integer, ttl integer)
        JOIN unnest(accepted, accepted_from) AS taken(n, latest) ON taken.n = r.n;
END
$function$;
