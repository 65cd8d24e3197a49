-- One row for each event of the tape. ts is ingest_ts, our clock; seq is the event's place in its day of the lake, and
-- so the order of events that share a ts. Prices are ticks and quantities lots, as in the lake.
CREATE TABLE IF NOT EXISTS $database.$local_events $on_cluster (
    symbol LowCardinality(String),
    ts DateTime64(9, 'UTC') CODEC(ZSTD(1)),
    seq UInt32 CODEC(Delta, ZSTD(1)),
    kind UInt8 CODEC(ZSTD(1)),
    side Int8 CODEC(ZSTD(1)),
    flags UInt16 CODEC(ZSTD(1)),
    clock_error_us UInt32 CODEC(ZSTD(1)),
    exchange_ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    delay_ns Int64 CODEC(ZSTD(1)),
    offset_ns Int64 CODEC(ZSTD(1)),
    price Int64 CODEC(Delta, ZSTD(3)),
    qty Int64 CODEC(ZSTD(1)),
    update_id Int64 CODEC(ZSTD(1))
)
ENGINE = $merge_tree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, seq)
$ttl
SETTINGS $settings
