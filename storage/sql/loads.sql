-- What was loaded from which partition of the lake: a line when a build of a day begins, another when it is whole.
CREATE TABLE IF NOT EXISTS $database.$local_loads $on_cluster (
    symbol LowCardinality(String),
    date Date,
    build UInt32,
    whole Bool,
    lake_sha String,
    rows UInt64,
    at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = $merge_tree
ORDER BY (symbol, date, build, whole)
COMMENT '$schema'
