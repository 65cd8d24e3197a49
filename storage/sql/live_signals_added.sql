-- Columns that tables of an earlier version lack.
ALTER TABLE $database.live_signals
    ADD COLUMN IF NOT EXISTS spread_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS lower_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS upper_bp Float64 DEFAULT nan CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS classes UInt8
