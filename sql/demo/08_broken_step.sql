-- Which paid channel sends people who leave at once? Anonymous website visits within 7 days of a paid touch,
-- by the last paid channel, and how many of them end after one view.

SELECT channel, count(*) AS visits, count(*) FILTER (WHERE events = 1) AS one_view,
       round(100.0 * count(*) FILTER (WHERE events = 1) / count(*), 1) AS percent
FROM (
  SELECT v.session_id, v.events, t.channel,
         row_number() OVER (PARTITION BY v.person_id, v.session_id ORDER BY t.ts DESC) AS nearest
  FROM (SELECT person_id, session_id, min(ts) AS ts, count(*) AS events
        FROM person_events WHERE channel = 'website' AND session_id IS NOT NULL
        GROUP BY person_id, session_id
        HAVING count(*) FILTER (WHERE event = 'login') = 0) v
  JOIN person_events t ON t.person_id = v.person_id AND t.ts <= v.ts AND t.ts >= v.ts - INTERVAL '7 days'
  WHERE t.event IN ('exposure', 'click') AND t.channel IN ('douyin', 'xiaohongshu', 'wechat_ads', 'search_ads')
) visits
WHERE nearest = 1
GROUP BY channel
ORDER BY channel;
-- check channel=douyin: visits = 205, one_view = 149
-- check channel=search_ads: visits = 366, one_view = 126
-- check channel=wechat_ads: visits = 34, one_view = 11
-- check channel=xiaohongshu: visits = 127, one_view = 39
