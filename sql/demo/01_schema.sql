-- An omnichannel retailer: events of every channel, orders, and what the service desk knows.
-- Events arrive at least once, so they are staged first; the first delivery of each wins.

CREATE SCHEMA staging;

CREATE TABLE staging.events (
  event_id text, source text, event text, ts timestamptz, received_at timestamptz, channel text, campaign_id text,
  content_id text, placement text, store_id text, session_id text, order_id text, cart_id text, sku text,
  value numeric(12,2), member_id text, phone text, email text, unionid text, device_id text, cookie_id text
);

CREATE TABLE events (
  event_id text NOT NULL, source text NOT NULL, event text NOT NULL, ts timestamptz NOT NULL, received_at timestamptz,
  channel text, campaign_id text, content_id text, placement text, store_id text, session_id text, order_id text,
  cart_id text, sku text, value numeric(12,2), member_id text, phone text, email text, unionid text, device_id text,
  cookie_id text
) WITH (order_by = 'ts');

CREATE TABLE orders (
  order_id text PRIMARY KEY, source text, channel text, store_id text, status text, placed_at timestamptz,
  paid_at timestamptz, cancelled_at timestamptz, refunded_at timestamptz, gross numeric(12,2), discount numeric(12,2),
  refunded numeric(12,2), margin numeric(12,2), currency text, coupon_code text, member_id text, phone text, email text,
  unionid text
);

CREATE TABLE customers (
  source text, record_id text, updated_at timestamptz, name text, gender text, birthday date, city text, tz text,
  member_id text, phone text, email text
);

CREATE TABLE tickets (ticket_id text, kind text, opened_at timestamptz, closed_at timestamptz, order_id text, phone text);

CREATE TABLE surveys (survey_id text, kind text, score int, answered_at timestamptz, channel text, member_id text);

CREATE TABLE consents (
  consent_id text, member_id text, channel text, purpose text, action text, at timestamptz, basis text,
  policy_version text
);

CREATE TABLE points_ledger (entry_key text, member_id text, unit text, delta numeric(12,2), reason text, at timestamptz);

CREATE TABLE ad_costs (day date, channel text, campaign_id text, placement text, cost numeric(12,2), currency text);

CREATE TABLE desk_merges (phone_a text, phone_b text, reason text);

CREATE TABLE ecom (
  user_id text, session_id text, event text, ts timestamp, platform text, acquisition_channel text, user_cohort text,
  user_lifecycle text
) WITH (order_by = 'user_id, ts');
