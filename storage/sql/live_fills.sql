-- One line for each fill as a runner heard of it, at ts on our clock; ticks and lots.
CREATE TABLE IF NOT EXISTS $database.live_fills (
    symbol LowCardinality(String),
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    desk LowCardinality(String),
    order_id Int64,
    side Int8,
    price Int64,
    qty Int64,
    leaves Int64,
    maker UInt8
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, desk)
SETTINGS $settings
