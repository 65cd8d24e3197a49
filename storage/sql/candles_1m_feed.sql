-- What an insert adds to the minutes: its seconds, merged; the events themselves are read once.
CREATE MATERIALIZED VIEW IF NOT EXISTS $database.candles_1m_feed $on_cluster TO $database.$local_candles_1m AS
SELECT
    symbol,
    toStartOfMinute(seconds.ts) AS ts,
    argMinMergeState(open) AS open,
    maxMergeState(high) AS high,
    minMergeState(low) AS low,
    argMaxMergeState(close) AS close,
    sum(volume) AS volume,
    sum(buy_volume) AS buy_volume,
    sum(notional) AS notional,
    sum(trades) AS trades,
    argMaxMergeState(bid) AS bid,
    argMaxMergeState(bid_qty) AS bid_qty,
    argMaxMergeState(ask) AS ask,
    argMaxMergeState(ask_qty) AS ask_qty,
    sum(bid_sum) AS bid_sum,
    sum(ask_sum) AS ask_sum,
    sum(bids) AS bids,
    sum(asks) AS asks,
    sum(liquidated) AS liquidated,
    sum(gaps) AS gaps
FROM $database.$local_candles_1s AS seconds
GROUP BY symbol, ts
