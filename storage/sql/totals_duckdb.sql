-- What a day of the lake (the view `tape`) adds up to; the last sum weighs each row by its place.
WITH numbered AS (
    SELECT *, row_number() OVER () AS place FROM tape
)
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
    sum(clock_error_us::HUGEINT)::VARCHAR AS clock_error_us,
    sum(place::HUGEINT * (
        ingest_ts + price::HUGEINT * 3 + qty::HUGEINT * 7 + update_id::HUGEINT * 11
        + kind::HUGEINT * 13 + side::HUGEINT * 17 + flags::HUGEINT * 19 + delay_ns::HUGEINT * 23
        + offset_ns::HUGEINT * 29 + exchange_ts::HUGEINT * 31 + clock_error_us::HUGEINT * 37
    ))::VARCHAR AS in_their_places
FROM numbered
