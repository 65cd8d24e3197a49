"""Research and live hold different keys: research refuses an exchange's, and has no way to send an order."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.loading import LIVE_KEYS, refuse_live_keys
from live.gateways.exchange import ExchangeGateway
from live.gateways.permission import keys_from
from market.errors import ConfigError
from market.events import BUY
from market.orders import GTC
from tests.builders_market import COINM_BTC

ROOT = Path(__file__).parents[2]
PLANTED = "planted-key-of-an-exchange"
STORES = (
    "storage.lake",
    "storage.registry",
    "storage.studies",
    "storage.trials",
    "mlflow",
    "optuna",
    "dagster",
    "chdb",
)
DOORS = ("live.gateways.opening", "live.serve", "live.exchange_order_side", "ccxt")


def run(*command: str, tmp_path: Path, keys: bool) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TICKLOOP_VAR": str(tmp_path)}
    environment |= dict.fromkeys(LIVE_KEYS, PLANTED) if keys else {}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_dagster_refuses_to_load_the_chain_where_an_exchanges_keys_are_set(tmp_path: Path) -> None:
    done = run(
        "-m", "dagster", "definitions", "validate", "-m", "orchestration.definitions", tmp_path=tmp_path, keys=True
    )
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"{LIVE_KEYS[0]} is set, and research takes no key to an exchange" in said
    assert PLANTED not in said


def test_a_command_of_research_refuses_the_keys_in_one_line(tmp_path: Path) -> None:
    done = run("main.py", "run", tmp_path=tmp_path, keys=True)
    assert (done.returncode, done.stderr.startswith(f"tickloop: {LIVE_KEYS[0]} is set"), done.stdout) == (1, True, "")
    assert len(done.stderr.splitlines()) == 1
    assert PLANTED not in done.stderr
    assert list(tmp_path.iterdir()) == []


def loaded(modules: str, tmp_path: Path) -> set[str]:
    """What a new process has loaded once it has imported these."""
    code = f"import json, sys, {modules}; print(json.dumps(sorted(sys.modules)))"
    done = run("-c", code, tmp_path=tmp_path, keys=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_process_of_research_has_loaded_no_door_to_an_exchange_whatever_it_runs(tmp_path: Path) -> None:
    everything = "orchestration.definitions, orchestration.live_demo, live.ladder"  # a job loads the last one late
    assert loaded(everything, tmp_path).isdisjoint(DOORS)


def test_a_runner_has_loaded_no_store_of_research(tmp_path: Path) -> None:
    assert loaded("live.serve", tmp_path).isdisjoint(STORES)


def test_a_gateway_that_research_could_make_sends_nothing() -> None:
    gateway = ExchangeGateway(COINM_BTC)
    gateway.place(1, BUY, 500_000, 1, GTC, 0)  # no loop runs here: a task to send it with would be an error
    assert (gateway.up, gateway.reports(2**62).size) == (False, 0)


@pytest.mark.parametrize("name", LIVE_KEYS)
def test_one_key_is_enough_to_be_refused_and_an_empty_one_is_none(name: str) -> None:
    refuse_live_keys({name: ""})
    with pytest.raises(ConfigError, match=f"{name} is set.*keep it in .env.live"):
        refuse_live_keys({name: PLANTED})


def test_what_research_refuses_is_what_trading_reads() -> None:
    assert keys_from(dict.fromkeys(LIVE_KEYS, PLANTED)) == (PLANTED, PLANTED)
    with pytest.raises(ConfigError, match=LIVE_KEYS[1]):
        keys_from({LIVE_KEYS[0]: PLANTED})
