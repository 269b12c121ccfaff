-- How good is what arrived? Events delivered twice count once, late ones are late by more than an hour.

INSERT INTO events
SELECT event_id, source, event, ts, received_at, channel, campaign_id, content_id, placement, store_id, session_id,
       order_id, cart_id, sku, value, member_id, phone, email, unionid, device_id, cookie_id
FROM (SELECT *, row_number() OVER (PARTITION BY source, event_id ORDER BY received_at) AS delivery FROM staging.events) d
WHERE delivery = 1;

SELECT (SELECT count(*) FROM staging.events) AS delivered,
       count(*) AS events,
       (SELECT count(*) FROM staging.events) - count(*) AS delivered_twice,
       count(*) FILTER (WHERE received_at - ts > INTERVAL '1 hour') AS late
FROM events;
-- check delivered = 75014
-- check events = 74641
-- check delivered_twice = 373
-- check late = 741
