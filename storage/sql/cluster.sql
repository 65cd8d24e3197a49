-- One table over the shards; all rows of a symbol lie on one of them.
CREATE TABLE IF NOT EXISTS $database.$table $on_cluster AS $database.$local
ENGINE = Distributed('$cluster', '$database', '$local', cityHash64(symbol))
