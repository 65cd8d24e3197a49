"""The promotion ledger only grows, survives a kill, and shows edits."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from market.errors import RegistryError
from storage.promotions import REJECTED, Promotion, PromotionLedger

FIRST = Promotion(
    when="2024-08-09T00:00:00+00:00",
    who="tester",
    model="venue-coin",
    alias="champion",
    from_version=None,
    to_version="1",
    bundle_sha="aa",
    gates={"parity": "insufficient data"},
    reason="demo approval, gates: insufficient data",
)
SECOND = replace(FIRST, from_version="1", to_version="2", bundle_sha="bb")


def test_promotions_come_back_in_order(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    assert ledger.promotions() == []
    ledger.append(FIRST)
    ledger.append(SECOND)
    assert PromotionLedger(ledger.path).promotions() == [FIRST, SECOND]
    assert ledger.newest("venue-coin", "champion") == SECOND
    assert ledger.newest("venue-coin", "challenger") is None


def test_a_bundle_is_approved_only_as_champion(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    ledger.append(replace(FIRST, alias="challenger"))
    assert not ledger.approves("aa", FIRST.model)
    ledger.append(FIRST)
    assert ledger.approves("aa", FIRST.model)
    assert not ledger.approves("bb", FIRST.model)
    assert not ledger.approves("aa", "venue-other")


def test_a_line_that_a_kill_cut_short_was_never_written(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    ledger.append(FIRST)
    with ledger.path.open("ab") as stream:
        stream.write(b'{"when": "2024-')
    assert ledger.promotions() == [FIRST]
    ledger.append(SECOND)
    assert ledger.promotions() == [FIRST, SECOND]


def test_an_edited_line_is_named(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    ledger.append(FIRST)
    ledger.append(SECOND)
    lines = ledger.path.read_text().splitlines()
    lines[0] = json.dumps(json.loads(lines[0]) | {"bundle_sha": "ff"}, sort_keys=True)
    ledger.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RegistryError, match="line 1 was changed"):
        ledger.approves("ff", FIRST.model)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("change", [{"bundle_sha": "ff"}, {"previous": "1" * 64}, {"sha256": "1" * 64}])
def test_an_edit_shows_in_the_last_line_too(tmp_path: Path, number: int, change: dict[str, str]) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    for promotion in [FIRST, SECOND][:number]:
        ledger.append(promotion)
    lines = ledger.path.read_text().splitlines()
    lines[-1] = json.dumps(json.loads(lines[-1]) | change, sort_keys=True)
    ledger.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(RegistryError, match=f"line {number} was changed"):
        ledger.promotions()
    with pytest.raises(RegistryError, match=f"line {number} was changed"):
        ledger.append(SECOND)


def test_an_edited_line_with_a_hash_of_its_own_breaks_the_chain(tmp_path: Path) -> None:
    ledger, other = (PromotionLedger(tmp_path / name) for name in ("promotions.jsonl", "other.jsonl"))
    ledger.append(FIRST)
    ledger.append(SECOND)
    other.append(replace(FIRST, bundle_sha="ff"))
    second = ledger.path.read_text().splitlines()[1]
    ledger.path.write_text(f"{other.path.read_text()}{second}\n")
    with pytest.raises(RegistryError, match="line 1 was changed"):
        ledger.approves("ff", FIRST.model)


def test_a_line_that_is_no_promotion_is_named(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    ledger.path.write_text("[]\n")
    with pytest.raises(RegistryError, match="line 1 is no promotion"):
        ledger.promotions()


def rejected(entry: Promotion) -> Promotion:
    return replace(entry, alias=REJECTED, reason="it loses in trends")


def test_a_rejected_bundle_may_take_no_role_until_a_person_gives_it_one_again(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    for entry in (replace(SECOND, alias="challenger"), SECOND, rejected(SECOND)):
        ledger.append(entry)
    assert not ledger.approves("bb", FIRST.model)
    assert not ledger.approves("bb", FIRST.model, "challenger")
    assert ledger.newest(FIRST.model, "champion") is None
    assert ledger.rejection("bb", FIRST.model) == rejected(SECOND)
    ledger.append(SECOND)
    assert ledger.approves("bb", FIRST.model)
    assert ledger.rejection("bb", FIRST.model) is None


def test_a_rejection_is_of_one_bundle_of_one_model(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    other = replace(SECOND, model="venue-other")
    for entry in (FIRST, SECOND, other, rejected(SECOND)):
        ledger.append(entry)
    assert ledger.approves("aa", FIRST.model)
    assert ledger.approves("bb", other.model)
    assert ledger.standing(FIRST.model) == [FIRST]


def test_the_champion_before_goes_further_back_each_time_and_passes_over_the_rejected(tmp_path: Path) -> None:
    ledger = PromotionLedger(tmp_path / "promotions.jsonl")
    third = replace(SECOND, from_version="2", to_version="3", bundle_sha="cc")
    assert ledger.before(FIRST.model, "champion") is None
    for entry in (FIRST, SECOND, third):
        ledger.append(entry)
    assert ledger.before(FIRST.model, "champion") == SECOND
    ledger.append(replace(SECOND, reason="rollback"))
    assert ledger.before(FIRST.model, "champion") == FIRST
    ledger.append(replace(FIRST, reason="rollback"))
    assert ledger.before(FIRST.model, "champion") is None
    ledger.append(replace(third, reason="again"))
    ledger.append(rejected(SECOND))
    assert ledger.before(FIRST.model, "champion") == FIRST
