-- A day's candles as whole numbers, in the columns of candles_duckdb.sql.
SELECT
    toInt64(toUnixTimestamp(ts)) AS ts,
    open, high, low, close,
    volume, buy_volume, toInt64(trades) AS trades, toString(notional) AS notional,
    bid, bid_qty, ask, ask_qty, toInt64(quotes) AS quotes,
    liquidated, toInt64(gaps) AS gaps
FROM $database.$bars
WHERE symbol = {symbol:String} AND toDate($bars.ts) = {date:Date}
ORDER BY ts
