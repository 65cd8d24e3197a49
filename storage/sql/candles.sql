-- Mergeable states of one interval of one symbol: batches may come late, in any order, or twice under one token.
-- A day's seq orders its events without ties, so that first and last are exact; no candle spans two days.
CREATE TABLE IF NOT EXISTS $database.$local_candles $on_cluster (
    symbol LowCardinality(String),
    ts DateTime('UTC') CODEC(DoubleDelta, ZSTD(1)),
    open AggregateFunction(argMin, Int64, UInt32) CODEC(ZSTD(1)),
    high AggregateFunction(max, Int64) CODEC(ZSTD(1)),
    low AggregateFunction(min, Int64) CODEC(ZSTD(1)),
    close AggregateFunction(argMax, Int64, UInt32) CODEC(ZSTD(1)),
    volume SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    buy_volume SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    notional SimpleAggregateFunction(sum, Int128) CODEC(ZSTD(1)),
    trades SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    bid AggregateFunction(argMax, Int64, UInt32) CODEC(ZSTD(1)),
    bid_qty AggregateFunction(argMax, Int64, UInt32) CODEC(ZSTD(1)),
    ask AggregateFunction(argMax, Int64, UInt32) CODEC(ZSTD(1)),
    ask_qty AggregateFunction(argMax, Int64, UInt32) CODEC(ZSTD(1)),
    bid_sum SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    ask_sum SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    bids SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    asks SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    liquidated SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    gaps SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1))
)
ENGINE = $aggregating_merge_tree
PARTITION BY toDate(ts)
ORDER BY (symbol, ts)
$ttl
SETTINGS $settings
