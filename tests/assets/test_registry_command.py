"""What a person sees of the registry and decides in it: one line of the ledger a decision, one line a wrong use."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from assets.live_deployment import approved_version
from assets.promotion import GATE_TAG
from assets.registered_model import promote
from assets.registry_command import COMMANDS
from assets.report import Report
from commands.line import command_line
from config.loading import load_settings
from config.settings import Paths, Settings
from market.errors import RegistryError
from storage.bundle import bundle_sha
from storage.registry import CHALLENGER, CHAMPION, FALLBACK, Registry, RunRecord, Version
from tests.builders_runner import write_band_bundle

MODEL = "tickloop-coin"
PERSON = ("--by", "Ada", "--reason", "it held in every regime")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return replace(load_settings("dev"), paths=Paths(tmp_path_factory.mktemp("var")))


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    """Three versions, each with a fallback; the second was not judged."""
    known = Registry(settings.paths.mlflow)
    for number in (1, 2, 3):
        version = registered(known, settings.paths.var / f"made{number}", number)
        if number != 2:
            known.tag(
                version, {f"{GATE_TAG}parity": f"passed: –, journal {number}", f"{GATE_TAG}degeneracy": "failed: x"}
            )
        promote(known, version, CHALLENGER, f"newest slice, {number}")
    return known


def registered(known: Registry, folder: Path, number: int) -> Version:
    write_band_bundle(folder / "fallback")
    metrics = {"headline/macro_f1": number / 4, "test/mcc/1000_0/model/trend": float(number), "other": 1.0}
    tags = {"catalogue_sha": "c", "config_sha": f"config{number}"}
    params = {"network.width": 32 * number, "network.kind": "cnn"}
    run_id = known.record("slices", RunRecord("cnn", params, metrics, tags, {FALLBACK: folder / "fallback"}))
    return known.register(MODEL, run_id, f"sha{number}", tags)


def ask(settings: Settings, registry: Registry, *words: str) -> Report:
    arguments: argparse.Namespace = command_line().parse_args(["registry", *words])
    report = COMMANDS[arguments.action](settings, registry, arguments)
    assert json.loads(json.dumps(report.plain)) is not None
    return report


def refused(settings: Settings, registry: Registry, *words: str) -> str:
    before = registry.ledger.promotions()
    with pytest.raises(RegistryError) as caught:
        ask(settings, registry, *words)
    assert registry.ledger.promotions() == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_decision_needs_a_person_a_reason_and_a_judged_version(settings: Settings, registry: Registry) -> None:
    assert "needs --by NAME" in refused(settings, registry, "approve", MODEL, "1")
    assert "needs --reason TEXT" in refused(settings, registry, "approve", MODEL, "1", "--by", "Ada", "--reason", "ok")
    assert "needs --by NAME" in refused(settings, registry, "reject", MODEL, "1")
    assert "no model 'other'; registered are tickloop-coin" in refused(settings, registry, "show", "other", "1")
    assert "has no version '9'; it has 3, 2, 1" in refused(settings, registry, "approve", MODEL, "9", *PERSON)
    assert "was never put before the gates" in refused(settings, registry, "approve", MODEL, "2", *PERSON)
    assert "has no champion before" in refused(settings, registry, "rollback", MODEL, *PERSON)
    assert registry.aliased(MODEL, CHAMPION) is None


def test_the_life_of_champions_by_a_persons_hand(settings: Settings, registry: Registry) -> None:
    first = ask(settings, registry, "approve", MODEL, "1", *PERSON).plain
    assert (first["who"], first["alias"], first["gates"]) == (
        "Ada",
        CHAMPION,
        {"parity": "passed", "degeneracy": "failed"},
    )
    kept = registry.ledger.newest(MODEL, FALLBACK)
    assert kept is not None
    assert (kept.who, kept.bundle_sha) == ("Ada", bundle_sha(settings.paths.var / "made1" / "fallback"))
    assert "is champion already" in refused(settings, registry, "approve", MODEL, "1", *PERSON)

    ask(settings, registry, "approve", MODEL, "3", *PERSON)
    assert registry.aliased(MODEL, CHAMPION).version == "3"
    back = ask(settings, registry, "rollback", MODEL, *PERSON).plain
    assert (back["to_version"], back["from_version"]) == ("1", "3")
    assert back["reason"] == "rollback: it held in every regime"
    assert registry.aliased(MODEL, CHAMPION).version == registry.ledger.newest(MODEL, FALLBACK).to_version == "1"
    assert "has no champion before" in refused(settings, registry, "rollback", MODEL, *PERSON)


def test_a_rejected_version_bears_no_alias_and_is_approved_for_nothing(settings: Settings, registry: Registry) -> None:
    ask(settings, registry, "reject", MODEL, "3", *PERSON)
    assert registry.aliased(MODEL, CHALLENGER) is None
    assert not registry.ledger.approves("sha3", MODEL)
    assert not registry.ledger.approves("sha3", MODEL, CHALLENGER)
    assert "was rejected already, by Ada" in refused(settings, registry, "reject", MODEL, "3", *PERSON)
    row = next(one for one in ask(settings, registry, "list").plain["versions"] if one["version"] == "3")
    assert (row["roles"], row["gates"]) == ([], "1 of 2 gates passed")
    assert "rejected by Ada: it held" in row["rejected"]
    assert ask(settings, registry, "approve", MODEL, "3", "--role", "challenger", *PERSON).plain["alias"] == CHALLENGER
    assert registry.ledger.approves("sha3", MODEL, CHALLENGER)


def test_a_fallback_is_given_by_a_person_too(settings: Settings, registry: Registry) -> None:
    given = ask(settings, registry, "approve", MODEL, "2", "--role", "fallback", *PERSON).plain
    assert (given["alias"], given["to_version"], given["who"]) == (FALLBACK, "2", "Ada")
    assert registry.ledger.approves(given["bundle_sha"], MODEL, FALLBACK)


def test_two_versions_side_by_side_show_what_differs_and_nothing_else(settings: Settings, registry: Registry) -> None:
    found = ask(settings, registry, "diff", MODEL, "1", "3").plain
    assert found["parameters"] == {"network.width": ("32", "96")}
    assert found["made from"] == {"config_sha": ("config1", "config3")}
    assert found["figures"] == {
        "headline/macro_f1": (0.25, 0.75),
        "test/mcc/1000_0/model/trend": (1.0, 3.0),
    }
    assert found["gates"] == {"parity": ("passed: –, journal 1", "passed: –, journal 3")}
    assert all(not rows for rows in ask(settings, registry, "diff", MODEL, "1", "1").plain.values())


def test_one_version_is_shown_whole_and_the_index_holds_all(settings: Settings, registry: Registry) -> None:
    shown = ask(settings, registry, "show", MODEL, "1")
    assert all(word in shown.text for word in ("config1", "headline/macro_f1", "0.25", "degeneracy", "by Ada"))
    assert shown.plain["params"] == {"network.kind": "cnn", "network.width": "32"}
    indexed = ask(settings, registry, "index")
    assert json.loads(settings.paths.registry_index.read_text()) == indexed.plain
    assert [one["version"] for one in indexed.plain["versions"]] == ["3", "2", "1"]
    assert indexed.plain["versions"][2]["params"]["network.width"] == "32"


def test_what_is_deployed_is_what_the_ledger_says_and_not_where_a_kill_left_the_alias(
    settings: Settings, registry: Registry
) -> None:
    symbol, tags = "lagging", {"config_sha": "config8"}
    run_id = registry.record("lagging", RunRecord("cnn", {}, {}, tags))
    name = settings.registry.model_of(symbol)
    first, second = (registry.register(name, run_id, sha, tags) for sha in ("sha81", "sha82"))
    with pytest.raises(RegistryError, match="has no champion to deploy"):
        approved_version(settings, registry, symbol)
    promote(registry, first, CHAMPION, "the first one")
    [line] = [one for one in registry.ledger.promotions() if one.model == name]
    registry.ledger.append(replace(line, to_version=second.version, bundle_sha="sha82"))
    assert registry.aliased(name, CHAMPION) == first
    assert approved_version(settings, registry, symbol) == second
    registry.ledger.append(replace(line, to_version="3", bundle_sha="gone"))
    with pytest.raises(RegistryError, match="does not hold the champion of .*, bundle gone"):
        approved_version(settings, registry, symbol)


def test_going_back_is_to_the_bundle_and_not_to_whatever_bears_its_number_now(
    settings: Settings, registry: Registry
) -> None:
    tags = {"config_sha": "config9"}
    made = registry.register("tickloop-anew", registry.record("anew", RunRecord("cnn", {}, {}, tags)), "sha9", tags)
    gone = replace(made, bundle_sha="gone")
    assert promote(registry, gone, CHAMPION, "before the database was lost")
    assert promote(registry, made, CHAMPION, "after it")
    assert "has lost the champion before, bundle gone" in refused(settings, registry, "rollback", made.model, *PERSON)
