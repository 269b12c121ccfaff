-- One "price per customer" is two numbers, and one "repurchase rate" too. The scorecard shows both.

SELECT sum(net) AS net_sales, count(*) AS orders, count(DISTINCT person_id) AS buyers,
       round(sum(net) / count(*), 2) AS order_value, round(sum(net) / count(DISTINCT person_id), 2) AS spend_per_buyer
FROM person_orders WHERE valid;
-- check net_sales = 244091.94
-- check order_value = 35.28
-- check spend_per_buyer = 103.56

SELECT round(1.0 * count(*) FILTER (WHERE orders > 1) / count(*), 4) AS repurchase_rate,
       round(1.0 * sum(orders - 1) / sum(orders), 4) AS repeat_order_rate
FROM (SELECT person_id, count(*) AS orders FROM person_orders WHERE valid GROUP BY person_id) b;
-- check repurchase_rate = 0.4888
-- check repeat_order_rate = 0.6593
