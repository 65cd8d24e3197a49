"""What a pushed bundle has to pass: whatever is refused leaves no trace, whatever is accepted can trade at once."""

import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from live.plan import strategy_of
from live.rollout import Refusal, Rollout
from market.errors import BundleError, VenueError
from storage.bundle import FILES, MANIFEST
from storage.deployment import LARGEST_BODY, pack, push, signature, unpack
from storage.promotions import PromotionLedger
from tests.builders_runner import KEY, REGISTERED, approve, quick_plan, write_band_bundle


class Case:
    """An approved bundle on its way to a runner."""

    def __init__(self, folder: Path, **stamps: object) -> None:
        self.ledger = PromotionLedger(folder / "promotions.jsonl")
        self.source = folder / "source"
        self.sha = write_band_bundle(self.source, **stamps)
        approve(self.ledger, self.sha)
        self.bundles = folder / "bundles"
        self.rollout = Rollout(quick_plan(), self.bundles, self.ledger, KEY, REGISTERED)
        self.files = unpack(pack(self.source))

    def signed(self, key: bytes = KEY) -> str:
        return signature(self.files[MANIFEST], key)

    def accept(self) -> str:
        return self.rollout.accept(msgspec.msgpack.encode(self.files), self.signed())[0]

    def refused(self, body: bytes, claimed: str) -> Refusal:
        with pytest.raises(Refusal) as refusal:
            self.rollout.accept(body, claimed)
        assert not self.bundles.exists() or list(self.bundles.iterdir()) == []
        assert "\n" not in str(refusal.value)
        return refusal.value


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_an_approved_bundle_is_kept_under_its_sha_and_can_forecast(case: Case) -> None:
    sha, strategy = case.rollout.accept(pack(case.source), case.signed())
    assert sha == case.sha
    assert [path.name for path in case.bundles.iterdir()] == [sha]
    stored = strategy_of(quick_plan(), case.bundles / sha)
    assert (stored.columns == strategy.columns).all()


def test_a_bundle_that_is_approved_for_another_symbol_is_not_approved_for_this_one(case: Case) -> None:
    other = Rollout(quick_plan(), case.bundles, case.ledger, KEY, "tickloop-other")
    with pytest.raises(Refusal, match="not approved as champion in the promotion ledger, for tickloop-other"):
        other.accept(pack(case.source), case.signed())
    approve(case.ledger, case.sha, "tickloop-other")
    assert other.accept(pack(case.source), case.signed())[0] == case.sha


def test_the_same_bundle_again_changes_nothing(case: Case) -> None:
    case.accept()
    before = (case.bundles / case.sha).stat().st_ino
    assert case.accept() == case.sha
    assert (case.bundles / case.sha).stat().st_ino == before


def test_a_stored_bundle_that_was_damaged_is_replaced(case: Case) -> None:
    case.accept()
    (case.bundles / case.sha / FILES[0]).write_bytes(b"")
    (case.bundles / case.sha / FILES[1]).unlink()
    case.accept()
    strategy_of(quick_plan(), case.bundles / case.sha)


@pytest.mark.parametrize("name", FILES)
def test_a_corrupt_file_is_refused(case: Case, name: str) -> None:
    case.files[name] = case.files[name][:-1] + bytes([case.files[name][-1] ^ 1])
    refusal = case.refused(msgspec.msgpack.encode(case.files), case.signed())
    assert (refusal.code, name in str(refusal)) == ("corrupt", True)


def test_a_changed_manifest_needs_another_signature(case: Case) -> None:
    claimed = case.signed()
    case.files[MANIFEST] = case.files[MANIFEST].replace(b"10000.0", b"99999.0")
    assert case.refused(msgspec.msgpack.encode(case.files), claimed).code == "signature"
    assert case.refused(msgspec.msgpack.encode(case.files), case.signed()).code == "unapproved"


@pytest.mark.parametrize("claimed", ["", "0" * 64, "é" * 64, "not hex"])
def test_a_missing_or_odd_signature_is_refused(case: Case, claimed: str) -> None:
    assert case.refused(pack(case.source), claimed).code == "signature"


def test_another_key_is_refused(case: Case) -> None:
    assert case.refused(pack(case.source), case.signed(b"another key")).code == "signature"


def test_a_runner_without_a_key_takes_no_bundles(case: Case) -> None:
    with pytest.raises(BundleError, match="no deploy key: set TICKLOOP_DEPLOY_KEY"):
        Rollout(quick_plan(), case.bundles, case.ledger, b"", REGISTERED)


def test_a_bundle_of_another_catalogue_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path, catalogue_sha="f" * 64)
    refusal = case.refused(pack(case.source), case.signed())
    assert refusal.code == "catalogue"
    assert "made for feature catalogue ffffffffffff" in str(refusal)


def test_a_fault_that_only_speaks_of_the_catalogue_is_no_other_catalogue(case: Case) -> None:
    manifest = msgspec.json.decode(case.files[MANIFEST])
    del manifest["catalogue_sha"]
    case.files[MANIFEST] = msgspec.json.encode(manifest)
    approve(case.ledger, hashlib.sha256(case.files[MANIFEST]).hexdigest(), REGISTERED)
    refusal = case.refused(msgspec.msgpack.encode(case.files), case.signed())
    assert (refusal.code, "catalogue_sha" in str(refusal)) == ("corrupt", True)


def test_a_bundle_that_is_too_slow_is_refused(tmp_path: Path) -> None:
    case = Case(tmp_path, latency_budget_us=0.001)
    refusal = case.refused(pack(case.source), case.signed())
    assert (refusal.code, "its budget is 0 us" in str(refusal)) == ("slow", True)


def test_a_model_without_an_answer_for_the_traded_cell_is_refused(case: Case) -> None:
    plan = quick_plan()
    trading = replace(plan.trading, horizon_ms=250)
    case.rollout = Rollout(replace(plan, trading=trading), case.bundles, case.ledger, KEY, REGISTERED)
    assert case.refused(pack(case.source), case.signed()).code == "model"


def test_an_unreadable_ledger_is_no_approval(case: Case) -> None:
    case.ledger.path.write_text("{}\n")
    refusal = case.refused(pack(case.source), case.signed())
    assert (refusal.code, "approval cannot be checked" in str(refusal)) == ("ledger", True)


def test_a_disk_that_does_not_take_the_bundle_is_one_clear_line(case: Case) -> None:
    case.bundles.write_text("a file in the way")
    with pytest.raises(Refusal, match="the bundle cannot be stored: ") as refusal:
        case.accept()
    assert refusal.value.code == "disk"


@pytest.mark.parametrize(
    ("added", "left_out"),
    [
        ({"../../evil.py": b"x"}, None),
        ({"/etc/cron.d/evil": b"x"}, None),
        ({"model.pkl": b"x"}, None),
        ({}, "golden.npz"),
        ({"sub/../manifest.json": b"x"}, MANIFEST),
        ({"": b"x"}, None),
    ],
)
def test_names_that_are_none_of_a_bundles_are_refused(
    case: Case, added: dict[str, bytes], left_out: str | None
) -> None:
    files = {name: content for name, content in case.files.items() if name != left_out} | added
    refusal = case.refused(msgspec.msgpack.encode(files), case.signed())
    assert (refusal.code, "a bundle holds" in str(refusal)) == ("malformed", True)


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 an archive", b"{}", msgspec.msgpack.encode([1]), b"\x81\xa1a\x01"])
def test_a_body_that_is_no_packed_bundle_is_refused(case: Case, body: bytes) -> None:
    assert case.refused(body, case.signed()).code == "malformed"


def test_a_body_over_the_limit_is_refused(case: Case) -> None:
    refusal = case.refused(bytes(LARGEST_BODY + 1), case.signed())
    assert (refusal.code, "over the limit of" in str(refusal)) == ("malformed", True)


def test_left_overs_of_a_killed_runner_are_swept(case: Case) -> None:
    case.accept()
    left = case.bundles / f".{case.sha}.999.tmp"
    left.mkdir()
    (left / MANIFEST).write_text("")
    Rollout(quick_plan(), case.bundles, case.ledger, KEY, REGISTERED)
    assert [path.name for path in case.bundles.iterdir()] == [case.sha]


def test_a_bundle_that_is_not_there_cannot_be_pushed(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read: No such file or directory"):
        push("http://127.0.0.1:9", "token", KEY, tmp_path / "nothing")


def test_a_runner_that_does_not_answer_is_one_clear_line(case: Case) -> None:
    with pytest.raises(VenueError, match="no runner answers at http://127.0.0.1:9: "):
        push("http://127.0.0.1:9", "token", KEY, case.source)
