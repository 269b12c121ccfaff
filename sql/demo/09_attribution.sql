-- Which channel earned the first order in the tmall shop? Every ad seen or clicked in the 30 days before it counts.

CREATE VIEW first_tmall_orders AS
SELECT * FROM (
  SELECT person_id, order_id, channel, paid_at, net,
         row_number() OVER (PARTITION BY person_id ORDER BY paid_at, order_id) AS nth
  FROM person_orders WHERE valid) o
WHERE nth = 1 AND channel = 'tmall';

SELECT c['channel'] AS channel, round(sum(c['linear'])::numeric, 6) AS linear, round(sum(c['first'])::numeric, 6) AS first,
       round(sum(c['last'])::numeric, 6) AS last, round(sum(c['u_shaped'])::numeric, 6) AS u_shaped,
       round(sum(c['time_decay'])::numeric, 6) AS time_decay
FROM (
  SELECT unnest(attribution(ts, channel, converted)) AS c
  FROM (SELECT person_id, ts, channel, false AS converted FROM person_events
        WHERE event IN ('exposure', 'click')
          AND person_id IN (SELECT person_id FROM first_tmall_orders)
        UNION ALL
        SELECT person_id, paid_at, NULL, true FROM first_tmall_orders) journey
  GROUP BY person_id) credits
GROUP BY c['channel']
ORDER BY linear DESC;
-- check channel=xiaohongshu: linear = 487.6
-- check channel=douyin: linear = 87.623016
-- check channel=(unattributed): linear = 77
-- check channel=search_ads: linear = 46.114286
-- check channel=wechat_ads: linear = 17.61746
-- check channel=wecom: linear = 3.885714
-- check channel=sms: linear = 2.509524
-- check channel=email: linear = 1.65
