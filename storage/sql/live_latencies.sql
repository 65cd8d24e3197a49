-- The three clocks of each decision: the newest venue stamp known, when we had received it, and when we decided.
CREATE TABLE IF NOT EXISTS $database.live_latencies (
    symbol LowCardinality(String),
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    desk LowCardinality(String),
    exchange_ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    ingest_ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    infer_ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    delay_ns Int64 CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, desk)
SETTINGS $settings
