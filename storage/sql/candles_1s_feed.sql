-- What an insert of events adds to the seconds.
CREATE MATERIALIZED VIEW IF NOT EXISTS $database.candles_1s_feed $on_cluster TO $database.$local_candles_1s AS
SELECT
    symbol,
    toDateTime(events.ts, 'UTC') AS ts,
    argMinStateIf(price, seq, kind = $TRADE) AS open,
    maxStateIf(price, kind = $TRADE) AS high,
    minStateIf(price, kind = $TRADE) AS low,
    argMaxStateIf(price, seq, kind = $TRADE) AS close,
    sumIf(qty, kind = $TRADE) AS volume,
    sumIf(qty, kind = $TRADE AND side > 0) AS buy_volume,
    sumIf(toInt128(price) * qty, kind = $TRADE) AS notional,
    countIf(kind = $TRADE) AS trades,
    argMaxStateIf(price, seq, kind = $BBO AND side > 0) AS bid,
    argMaxStateIf(qty, seq, kind = $BBO AND side > 0) AS bid_qty,
    argMaxStateIf(price, seq, kind = $BBO AND side < 0) AS ask,
    argMaxStateIf(qty, seq, kind = $BBO AND side < 0) AS ask_qty,
    sumIf(price, kind = $BBO AND side > 0) AS bid_sum,
    sumIf(price, kind = $BBO AND side < 0) AS ask_sum,
    countIf(kind = $BBO AND side > 0) AS bids,
    countIf(kind = $BBO AND side < 0) AS asks,
    sumIf(qty, kind = $LIQUIDATION) AS liquidated,
    countIf(kind = $GAP) AS gaps
FROM $database.$local_events AS events
WHERE kind IN ($BBO, $TRADE, $LIQUIDATION, $GAP)
GROUP BY symbol, ts
