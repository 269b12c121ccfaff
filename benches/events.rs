//! Synthetic events, the same for everyone: seeded, skewed as real ones are.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The table of [`batches`] in SQL.
pub const TABLE: &str = "CREATE TABLE events (ts timestamp, user_id bigint, channel text, event text, campaign text, \
     device_id text, amount float8, sess bigint)";

const CHANNELS: [&str; 12] = [
    "search",
    "social",
    "email",
    "direct",
    "display",
    "affiliate",
    "video",
    "push",
    "sms",
    "referral",
    "organic",
    "store",
];
const EVENTS: [(&str, f64); 8] = [
    ("view", 0.5),
    ("click", 0.2),
    ("search", 0.1),
    ("cart", 0.08),
    ("checkout", 0.05),
    ("pay", 0.04),
    ("refund", 0.02),
    ("signup", 0.01),
];

/// 2024-05-01, and the microseconds of the 30 days that events spread over.
const START_US: i64 = 1_714_521_600_000_000;
const SPAN_US: i64 = 30 * 86_400_000_000;

/// Columns of the batches.
pub fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8View, true);
    Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("user_id", DataType::Int64, true),
        text("channel"),
        text("event"),
        text("campaign"),
        text("device_id"),
        Field::new("amount", DataType::Float64, true),
        Field::new("sess", DataType::Int64, true),
    ]))
}

/// `count` events in time order, in batches of 65,536.
pub fn batches(count: usize) -> Vec<RecordBatch> {
    let mut random = SmallRng::seed_from_u64(7);
    (0..count).step_by(65_536).map(|first| batch(&mut random, first, 65_536.min(count - first), count)).collect()
}

fn batch(random: &mut SmallRng, first: usize, rows: usize, count: usize) -> RecordBatch {
    let ts = (first..first + rows).map(|row| START_US + (row as f64 / count as f64 * SPAN_US as f64) as i64);
    let ts: TimestampMicrosecondArray = ts.collect::<Vec<_>>().into();
    let users: Vec<i64> = (0..rows).map(|_| zipf(random) % 400_000).collect();
    let channels: Vec<&str> = (0..rows).map(|_| CHANNELS[random.random_range(0..CHANNELS.len())]).collect();
    let events: Vec<&str> = (0..rows).map(|_| weighted(random)).collect();
    let campaigns: Vec<String> = (0..rows).map(|_| format!("camp-{}", random.random_range(0..3_000))).collect();
    let devices: Vec<String> = (0..rows).map(|_| device(random.random_range(0..300_000))).collect();
    let amounts: Vec<f64> = (0..rows).map(|_| if random.random_bool(0.05) { gamma(random) } else { 0.0 }).collect();
    let sessions: Vec<i64> = (0..rows).map(|_| random.random_range(0..1 << 40)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ts),
        Arc::new(Int64Array::from(users)),
        Arc::new(StringViewArray::from(channels)),
        Arc::new(StringViewArray::from(events)),
        Arc::new(StringViewArray::from_iter_values(campaigns)),
        Arc::new(StringViewArray::from_iter_values(devices)),
        Arc::new(Float64Array::from(amounts)),
        Arc::new(Int64Array::from(sessions)),
    ];
    RecordBatch::try_new(schema(), columns).expect("columns fit the schema")
}

/// Zipf with exponent 1.2, by the inverse of its tail.
fn zipf(random: &mut SmallRng) -> i64 {
    let uniform: f64 = random.random_range(f64::EPSILON..1.0);
    uniform.powf(-5.0).min(9e15) as i64
}

fn weighted(random: &mut SmallRng) -> &'static str {
    let mut left: f64 = random.random();
    for (event, weight) in EVENTS {
        left -= weight;
        if left < 0.0 {
            return event;
        }
    }
    EVENTS[0].0
}

/// Sixteen hexadecimal digits, scattered.
fn device(number: u64) -> String {
    format!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Gamma with shape 2 and mean 120.
fn gamma(random: &mut SmallRng) -> f64 {
    let mut exponential = || -> f64 { -random.random_range(f64::EPSILON..1.0f64).ln() * 60.0 };
    ((exponential() + exponential()) * 100.0).round() / 100.0
}
