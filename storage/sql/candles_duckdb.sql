-- The same candles, computed by DuckDB from a day of the lake (the view `tape`): what the warehouse is held to.
WITH numbered AS (
    SELECT *, row_number() OVER () AS seq FROM tape
)
SELECT
    (ingest_ts // 1000000000) // $seconds * $seconds AS ts,
    arg_min(price, seq) FILTER (kind = $TRADE) AS open,
    max(price) FILTER (kind = $TRADE) AS high,
    min(price) FILTER (kind = $TRADE) AS low,
    arg_max(price, seq) FILTER (kind = $TRADE) AS close,
    coalesce(sum(qty) FILTER (kind = $TRADE), 0)::BIGINT AS volume,
    coalesce(sum(qty) FILTER (kind = $TRADE AND side > 0), 0)::BIGINT AS buy_volume,
    count(*) FILTER (kind = $TRADE) AS trades,
    coalesce(sum(price::HUGEINT * qty) FILTER (kind = $TRADE), 0)::VARCHAR AS notional,
    arg_max(price, seq) FILTER (kind = $BBO AND side > 0) AS bid,
    arg_max(qty, seq) FILTER (kind = $BBO AND side > 0) AS bid_qty,
    arg_max(price, seq) FILTER (kind = $BBO AND side < 0) AS ask,
    arg_max(qty, seq) FILTER (kind = $BBO AND side < 0) AS ask_qty,
    count(*) FILTER (kind = $BBO AND side != 0) AS quotes,
    coalesce(sum(qty) FILTER (kind = $LIQUIDATION), 0)::BIGINT AS liquidated,
    count(*) FILTER (kind = $GAP) AS gaps
FROM numbered
WHERE kind IN ($BBO, $TRADE, $LIQUIDATION, $GAP)
GROUP BY 1
ORDER BY 1
