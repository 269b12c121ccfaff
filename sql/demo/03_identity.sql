-- Who is who? Every record that carries two identifiers links them; what is linked is one person.
-- The tablet on the counter of store 03 belongs to nobody. What the desk merged is linked by a note of its own.

CREATE VIEW identifier_records AS
SELECT 'member_id:' || member_id AS m, 'phone:' || phone AS p, 'email:' || email AS e, 'unionid:' || unionid AS u,
       'device_id:' || NULLIF(device_id, 'tablet-store-03') AS d, 'cookie_id:' || cookie_id AS c FROM events
UNION ALL
SELECT 'member_id:' || member_id, 'phone:' || phone, 'email:' || email, 'unionid:' || unionid, NULL, NULL FROM orders
UNION ALL
SELECT 'member_id:' || member_id, 'phone:' || phone, 'email:' || email, NULL, NULL, NULL FROM customers
UNION ALL
SELECT NULL, 'phone:' || phone, NULL, NULL, NULL, NULL FROM tickets
UNION ALL
SELECT 'member_id:' || member_id, NULL, NULL, NULL, NULL, NULL FROM surveys
UNION ALL
SELECT 'member_id:' || member_id, NULL, NULL, NULL, NULL, NULL FROM consents
UNION ALL
SELECT 'member_id:' || member_id, NULL, NULL, NULL, NULL, NULL FROM points_ledger;

CREATE VIEW identifier_links AS
SELECT coalesce(m, p, e, u, d, c) AS a, m AS b FROM identifier_records WHERE m IS NOT NULL
UNION SELECT coalesce(m, p, e, u, d, c), p FROM identifier_records WHERE p IS NOT NULL
UNION SELECT coalesce(m, p, e, u, d, c), e FROM identifier_records WHERE e IS NOT NULL
UNION SELECT coalesce(m, p, e, u, d, c), u FROM identifier_records WHERE u IS NOT NULL
UNION SELECT coalesce(m, p, e, u, d, c), d FROM identifier_records WHERE d IS NOT NULL
UNION SELECT coalesce(m, p, e, u, d, c), c FROM identifier_records WHERE c IS NOT NULL;

SELECT count(*) AS identifiers, count(DISTINCT component) AS persons, max(size) AS largest
FROM connected_components(identifier_links, a => a, b => b);
-- check identifiers = 18303
-- check persons = 6535

CREATE TABLE people (identifier text NOT NULL, person_id bigint NOT NULL) WITH (order_by = 'identifier');

INSERT INTO people
SELECT node, dense_rank() OVER (ORDER BY component)
FROM connected_components((
       SELECT a, b FROM identifier_links
       UNION ALL
       SELECT 'phone:' || phone_a, 'phone:' || phone_b FROM desk_merges
       WHERE 'phone:' || phone_a IN (SELECT b FROM identifier_links) AND 'phone:' || phone_b IN (SELECT b FROM identifier_links)
     ), a => a, b => b);

SELECT count(DISTINCT person_id) AS persons_after_merges FROM people;
-- check persons_after_merges = 6508

CREATE VIEW person_events AS
SELECT p.person_id, e.*
FROM events e
LEFT JOIN people p ON p.identifier = coalesce('member_id:' || member_id, 'phone:' || phone, 'email:' || email,
  'unionid:' || unionid, 'device_id:' || NULLIF(device_id, 'tablet-store-03'), 'cookie_id:' || cookie_id);

CREATE VIEW person_orders AS
SELECT p.person_id, o.*, gross - discount - refunded AS net,
       paid_at IS NOT NULL AND status NOT IN ('cancelled', 'refunded') AS valid
FROM orders o
LEFT JOIN people p ON p.identifier = coalesce('member_id:' || member_id, 'phone:' || phone, 'email:' || email,
  'unionid:' || unionid);

SELECT count(DISTINCT person_id) AS buyers, count(*) AS orders FROM person_orders WHERE valid;
-- check buyers = 2357
-- check orders = 6919

SELECT count(*) FILTER (WHERE person_id IS NULL) AS events_without_person FROM person_events;
-- check events_without_person = 2727
