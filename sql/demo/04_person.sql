-- A customer calls. Who is it, what did they buy, is something open?

SELECT o.person_id, count(*) FILTER (WHERE valid) AS orders, sum(net) FILTER (WHERE valid) AS spent,
       max(paid_at) AT TIME ZONE 'Asia/Shanghai' AS last_order_at,
       (SELECT count(*) FROM tickets t JOIN people q ON q.identifier = 'phone:' || t.phone
        WHERE q.person_id = o.person_id AND closed_at IS NULL) AS open_tickets
FROM person_orders o
WHERE o.person_id = (SELECT person_id FROM people WHERE identifier = 'phone:13800000001')
GROUP BY o.person_id;
