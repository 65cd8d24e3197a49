-- What a day of the lake (the view `tape`) adds up to.
SELECT
    count(*) AS rows,
    count(*) AS places,
    sum(ingest_ts::HUGEINT)::VARCHAR AS ingest_ts,
    sum(exchange_ts::HUGEINT)::VARCHAR AS exchange_ts,
    sum(delay_ns::HUGEINT)::VARCHAR AS delay_ns,
    sum(offset_ns::HUGEINT)::VARCHAR AS offset_ns,
    sum(price::HUGEINT)::VARCHAR AS price,
    sum(qty::HUGEINT)::VARCHAR AS qty,
    sum(update_id::HUGEINT)::VARCHAR AS update_id,
    sum(kind::HUGEINT * 1000 + side)::VARCHAR AS kind_and_side,
    sum(flags::HUGEINT)::VARCHAR AS flags,
    sum(clock_error_us::HUGEINT)::VARCHAR AS clock_error_us
FROM tape
