"""The statements that make the warehouse, as text, and that they are shipped."""

import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from market.errors import ConfigError
from storage.clickhouse_schema import (
    FOLDER,
    TABLES,
    create_statements,
    delete_statements,
    kept_tables,
    lifetimes,
    ttl_statement,
)
from tests.builders_clickhouse import embedded_parameters

ROOT = Path(__file__).parents[2]
CLUSTER = {"url": "http://db:8123", "cluster": "prices"}


def created(text: str) -> list[str]:
    return re.findall(
        r"CREATE (?:OR REPLACE )?(?:TABLE|VIEW|MATERIALIZED VIEW|DATABASE) (?:IF NOT EXISTS )?(\S+)", text
    )


def test_one_server_has_plain_engines() -> None:
    text = "\n".join(create_statements(embedded_parameters(token_window=77)))
    assert "Replicated" not in text
    assert "ON CLUSTER" not in text
    assert "Distributed" not in text
    assert "TTL" not in text
    assert text.count("non_replicated_deduplication_window = 77") == 3
    assert created(text) == [
        "tickloop", "tickloop.loads", "tickloop.events",
        "tickloop.candles_1s", "tickloop.candles_1m", "tickloop.candles_1s_feed", "tickloop.candles_1m_feed",
        "tickloop.bars_1s", "tickloop.bars_1m", "tickloop.days",
    ]  # fmt: skip


def test_a_cluster_has_replicated_tables_below_distributed_ones() -> None:
    statements = create_statements(embedded_parameters(**CLUSTER))
    text = "\n".join(statements)
    assert all("ON CLUSTER 'prices'" in statement for statement in statements)
    assert text.count("ReplicatedMergeTree('/clickhouse/tables/{shard}/tickloop/") == 2
    assert "ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/tickloop/candles_1s', '{replica}')" in text
    assert "Distributed('prices', 'tickloop', 'events_local', cityHash64(symbol))" in text
    assert "    replicated_deduplication_window" not in text
    assert text.count("SETTINGS replicated_deduplication_window = 1000") == 3
    feeds = [statement for statement in statements if "MATERIALIZED VIEW" in statement]
    assert [re.findall(r"TO (\S+) AS", feed) for feed in feeds] == [
        ["tickloop.candles_1s_local"],
        ["tickloop.candles_1m_local"],
    ]
    assert "FROM tickloop.events_local AS" in feeds[0]
    assert "FROM tickloop.candles_1s_local AS" in feeds[1]


def test_a_cluster_is_deleted_from_and_aged_in_its_local_tables() -> None:
    parameters = embedded_parameters(**CLUSTER, ttl_days=5)
    assert delete_statements(parameters)[0].startswith("DELETE FROM tickloop.events_local ON CLUSTER 'prices' WHERE")
    assert ttl_statement(parameters, "events") == (
        "ALTER TABLE tickloop.events_local ON CLUSTER 'prices' MODIFY TTL toDateTime(ts) + INTERVAL 5 DAY"
    )


def test_events_and_candles_age_apart() -> None:
    parameters = embedded_parameters(ttl_days=30, candle_ttl_days=365)
    text = "\n".join(create_statements(parameters))
    assert text.count("TTL toDateTime(ts) + INTERVAL 30 DAY") == 1
    assert text.count("TTL toDateTime(ts) + INTERVAL 365 DAY") == 2
    assert lifetimes(parameters) == {"events": 30, "candles_1s": 365, "candles_1m": 365}


def test_a_day_is_kept_until_its_first_event_expires() -> None:
    parameters = embedded_parameters(ttl_days=2)
    assert kept_tables(parameters, "2024-08-08", datetime(2024, 8, 9, 23, 59, tzinfo=UTC)) == list(TABLES)
    assert kept_tables(parameters, "2024-08-08", datetime(2024, 8, 10, tzinfo=UTC)) == ["candles_1s", "candles_1m"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"url": "http://someone:secret@db:8123"}, "belong into the environment"),
        ({"url": "db:8123"}, "no address of the kind"),
        ({"database": "a b"}, "must be a name"),
        ({"cluster": "x"}, "needs the url"),
        ({"ttl_days": -1}, "at least 0"),
        ({"batch_rows": 0}, "at least 1"),
        ({"patience_s": -1.0}, "at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        embedded_parameters(**changes)
    assert "secret" not in str(refused.value)


def test_the_statements_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    shipped = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    statements = sorted(f"storage/sql/{path.name}" for path in FOLDER.glob("*.sql"))
    assert len(statements) >= 10
    assert set(statements) <= set(shipped)
