-- What people read: one row for each interval of a symbol in which something happened. Prices are ticks, quantities
-- lots; null where the interval had no trade, or no quote of that side. spread_mean is over the quotes' updates.
CREATE OR REPLACE VIEW $database.$bars $on_cluster AS
SELECT
    symbol,
    ts,
    if(n = 0, NULL, first) AS open,
    if(n = 0, NULL, highest) AS high,
    if(n = 0, NULL, lowest) AS low,
    if(n = 0, NULL, last) AS close,
    lots AS volume,
    bought AS buy_volume,
    n AS trades,
    value AS notional,
    if(lots = 0, NULL, value / lots) AS vwap,
    if(bid_updates = 0, NULL, last_bid) AS bid,
    if(bid_updates = 0, NULL, last_bid_qty) AS bid_qty,
    if(ask_updates = 0, NULL, last_ask) AS ask,
    if(ask_updates = 0, NULL, last_ask_qty) AS ask_qty,
    (bid + ask) / 2 AS mid,
    ask - bid AS spread,
    if(bid_updates = 0 OR ask_updates = 0, NULL, ask_total / ask_updates - bid_total / bid_updates) AS spread_mean,
    bid_updates + ask_updates AS quotes,
    forced AS liquidated,
    holes AS gaps
FROM (
    SELECT
        symbol,
        ts,
        argMinMerge(open) AS first,
        maxMerge(high) AS highest,
        minMerge(low) AS lowest,
        argMaxMerge(close) AS last,
        sum(volume) AS lots,
        sum(buy_volume) AS bought,
        sum(notional) AS value,
        sum(trades) AS n,
        argMaxMerge(bid) AS last_bid,
        argMaxMerge(bid_qty) AS last_bid_qty,
        argMaxMerge(ask) AS last_ask,
        argMaxMerge(ask_qty) AS last_ask_qty,
        sum(bid_sum) AS bid_total,
        sum(ask_sum) AS ask_total,
        sum(bids) AS bid_updates,
        sum(asks) AS ask_updates,
        sum(liquidated) AS forced,
        sum(gaps) AS holes
    FROM $database.$candles
    GROUP BY symbol, ts
)
