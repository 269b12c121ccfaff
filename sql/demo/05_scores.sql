-- Who is worth what? Recency, frequency and money, each scored 1 to 5; equal customers get equal scores.

CREATE VIEW person_days AS
SELECT DISTINCT person_id, CAST(paid_at AT TIME ZONE 'Asia/Shanghai' AS date) AS day FROM person_orders WHERE valid;

CREATE VIEW person_rfm AS
WITH totals AS (
  SELECT person_id, DATE '2026-07-01' - max(CAST(paid_at AT TIME ZONE 'Asia/Shanghai' AS date)) AS recency_days,
         count(DISTINCT CAST(paid_at AT TIME ZONE 'Asia/Shanghai' AS date)) AS frequency, sum(net) AS monetary
  FROM person_orders WHERE valid GROUP BY person_id)
SELECT *, 1 + 5 * (rank() OVER (ORDER BY recency_days DESC) - 1) / count(*) OVER () AS r,
       1 + 5 * (rank() OVER (ORDER BY frequency) - 1) / count(*) OVER () AS f,
       1 + 5 * (rank() OVER (ORDER BY monetary) - 1) / count(*) OVER () AS m
FROM totals;

SELECT score, count(*) FILTER (WHERE r = score) AS by_recency, count(*) FILTER (WHERE f = score) AS by_frequency,
       count(*) FILTER (WHERE m = score) AS by_money
FROM person_rfm CROSS JOIN generate_series(1, 5) AS scores(score)
GROUP BY score ORDER BY score;
-- check score=1: by_recency = 482, by_frequency = 1218, by_money = 481
-- check score=2: by_recency = 471, by_frequency = 0, by_money = 462
-- check score=3: by_recency = 463, by_frequency = 403, by_money = 472
-- check score=4: by_recency = 470, by_frequency = 358, by_money = 471
-- check score=5: by_recency = 471, by_frequency = 378, by_money = 471

-- Where does each buyer stand? The limits are the shop's own rhythm: percentiles of the days between two purchases.

CREATE VIEW person_stages AS
WITH gaps AS (SELECT day - lag(day) OVER (PARTITION BY person_id ORDER BY day) AS gap FROM person_days),
limits AS (SELECT percentile_cont(0.75) WITHIN GROUP (ORDER BY gap) AS p75,
                  percentile_cont(0.9) WITHIN GROUP (ORDER BY gap) AS p90 FROM gaps WHERE gap IS NOT NULL),
buyers AS (SELECT person_id, count(*) AS days, DATE '2026-07-01' - max(day) AS silence FROM person_days GROUP BY person_id)
SELECT person_id, silence,
       CASE WHEN days = 1 AND silence <= 30 THEN 'new' WHEN silence <= p75 THEN 'active'
            WHEN silence <= p90 THEN 'churn_risk' WHEN silence <= 2 * p90 THEN 'dormant' ELSE 'lost' END AS stage
FROM buyers CROSS JOIN limits;

SELECT stage, count(*) AS people FROM person_stages GROUP BY stage ORDER BY stage;
-- check stage=active: people = 299
-- check stage=churn_risk: people = 236
-- check stage=dormant: people = 333
-- check stage=lost: people = 1489
