-- One line for each feature row that a runner closed for its model: the touch in ticks, and the values the model saw.
CREATE TABLE IF NOT EXISTS $database.live_rows (
    symbol LowCardinality(String),
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    status UInt8,
    best_bid Int64 CODEC(Delta, ZSTD(1)),
    best_ask Int64 CODEC(Delta, ZSTD(1)),
    catalogue_sha LowCardinality(String),
    values Array(Float32) CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts)
SETTINGS $settings
