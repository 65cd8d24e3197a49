-- One line for each decision of a runner; ts is its row's. reason is a code of trading/records.py.
-- spread_bp, interval and set (classes: 1 down, 2 no trade, 4 up, added) are NaN and 0 where nothing is forecast.
CREATE TABLE IF NOT EXISTS $database.live_signals (
    symbol LowCardinality(String),
    ts DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    desk LowCardinality(String),
    bundle_sha LowCardinality(String),
    decision_id Int64 CODEC(Delta, ZSTD(1)),
    reason UInt8,
    p_down Float64 CODEC(ZSTD(1)),
    p_none Float64 CODEC(ZSTD(1)),
    p_up Float64 CODEC(ZSTD(1)),
    mu_bp Float64 CODEC(ZSTD(1)),
    sigma_bp Float64 CODEC(ZSTD(1)),
    cost_bp Float64 CODEC(ZSTD(1)),
    target Int64 CODEC(ZSTD(1)),
    position Int64 CODEC(ZSTD(1)),
    equity Float64 CODEC(ZSTD(1)),
    spread_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    lower_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    upper_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    classes UInt8
)
ENGINE = MergeTree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts, desk)
SETTINGS $settings
