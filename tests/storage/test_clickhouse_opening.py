"""Who may open the warehouse, what it still knows when it is opened again, and what is said to whoever may not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from market.errors import WarehouseError
from storage.clickhouse import Login, open_warehouse
from storage.clickhouse_parity import parity_with_lake
from tests.builders_clickhouse import (
    DATE,
    SYMBOL,
    USER,
    embedded_parameters,
    http_front,
    random_tape,
)


def test_a_batch_is_taken_once_also_after_merging_and_opening_again(tmp_path: Path) -> None:
    tape = random_tape(np.random.default_rng(2), 300)
    with open_warehouse(embedded_parameters(), tmp_path) as warehouse:
        build = warehouse.begin(SYMBOL, DATE, "sha")
        for number in (2, 0, 1):
            warehouse.insert(build, number, 100 * number, tape.slice(100 * number, 100))
        warehouse.optimize()
    with open_warehouse(embedded_parameters(), tmp_path) as warehouse:
        for number in (1, 0, 2):
            warehouse.insert(build, number, 100 * number, tape.slice(100 * number, 100))
        lake = tape.to_arrow()
        assert parity_with_lake(warehouse, SYMBOL, DATE, lambda connection: connection.from_arrow(lake)).exact


def test_a_second_owner_is_told_in_one_line(tmp_path: Path) -> None:
    with (
        open_warehouse(embedded_parameters(), tmp_path),
        pytest.raises(WarehouseError, match="has one owner at a time"),
        open_warehouse(embedded_parameters(), tmp_path),
    ):
        pytest.fail("two owners")


def test_a_wrong_password_is_refused_and_never_shown(tmp_path: Path) -> None:
    login = Login(USER, "incorrect")
    assert "incorrect" not in repr(login)
    with http_front(tmp_path / "server") as address:
        parameters = embedded_parameters(url=address)
        with (
            pytest.raises(WarehouseError, match="Authentication failed") as refused,
            open_warehouse(parameters, tmp_path, login),
        ):
            pytest.fail("opened")
    assert "incorrect" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_server_that_does_not_answer_is_named_in_one_line(tmp_path: Path) -> None:
    with http_front(tmp_path / "server") as address:
        parameters = replace(embedded_parameters(), url=address)
    with pytest.raises(WarehouseError, match="127.0.0.1") as refused, open_warehouse(parameters, tmp_path):
        pytest.fail("opened")
    assert "\n" not in str(refused.value)
