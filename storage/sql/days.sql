-- The newest build of each day: its rows may be read where it is whole.
CREATE OR REPLACE VIEW $database.days $on_cluster AS
SELECT
    symbol,
    date,
    max(build) AS newest,
    argMax(loads.whole, (build, loads.whole)) AS whole,
    argMax(loads.lake_sha, (build, loads.whole)) AS lake_sha,
    argMax(loads.rows, (build, loads.whole)) AS rows
FROM $database.loads AS loads
GROUP BY symbol, date
