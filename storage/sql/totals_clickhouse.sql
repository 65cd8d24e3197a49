-- What a day's events add up to.
SELECT
    toInt64(count()) AS rows,
    toInt64(uniqExact(seq)) AS places,
    toString(sum(toInt128(toUnixTimestamp64Nano(ts)))) AS ingest_ts,
    toString(sum(toInt128(toUnixTimestamp64Nano(exchange_ts)))) AS exchange_ts,
    toString(sum(toInt128(delay_ns))) AS delay_ns,
    toString(sum(toInt128(offset_ns))) AS offset_ns,
    toString(sum(toInt128(price))) AS price,
    toString(sum(toInt128(qty))) AS qty,
    toString(sum(toInt128(update_id))) AS update_id,
    toString(sum(toInt128(kind) * 1000 + side)) AS kind_and_side,
    toString(sum(toInt128(flags))) AS flags,
    toString(sum(toInt128(clock_error_us))) AS clock_error_us
FROM $database.events
WHERE symbol = {symbol:String} AND toDate(ts) = {date:Date}
