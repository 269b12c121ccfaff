-- Audiences as bitmaps: kept as one value each, combined without touching a row.

CREATE TABLE segments (name text NOT NULL, people roaringbitmap64 NOT NULL);

INSERT INTO segments
SELECT 'stage:' || stage, rb_build_agg(person_id) FROM person_stages GROUP BY stage
UNION ALL
SELECT 'channel:' || channel, rb_build_agg(person_id) FROM person_events WHERE person_id IS NOT NULL GROUP BY channel
UNION ALL
SELECT 'best', rb_build_agg(person_id) FROM person_rfm WHERE f >= 4 AND m >= 4;

SELECT name, rb_cardinality(people) AS people FROM segments ORDER BY people DESC, name;

-- The best customers who fell silent and can be reached by mini program or wecom: whom to call this week.

SELECT rb_cardinality((b.people & (r.people | d.people)) & (m.people | w.people)) AS to_win_back
FROM segments b, segments r, segments d, segments m, segments w
WHERE b.name = 'best' AND r.name = 'stage:churn_risk' AND d.name = 'stage:dormant'
  AND m.name = 'channel:mini_program' AND w.name = 'channel:wecom';
