"""What a pushed bundle has to pass before it may trade: key, approval, hashes, catalogue, golden vectors, speed."""

import hashlib
import hmac
import logging
import shutil
import statistics
import time
from pathlib import Path
from typing import Final

from features.catalogue import catalogue_content
from live.desk import Model
from live.plan import LivePlan, Pushed, strategy_from, strategy_of
from market.errors import BundleError, ModelError, OtherCatalogue, RegistryError
from storage.bundle import MANIFEST, Golden, read_bundle
from storage.deployment import signature, unpack
from storage.files import temporary_beside
from storage.promotions import PromotionLedger
from trading.ports import Strategy

LOG: Final = logging.getLogger(__name__)
TIMED_STEPS: Final = 200


class Refusal(BundleError):
    """A pushed bundle is refused; ``code`` is the short reason that is counted."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rollout:
    """Accepts bundles into ``folder``, each under its own sha; whatever it refuses leaves no trace."""

    def __init__(self, plan: LivePlan, folder: Path, ledger: PromotionLedger, key: bytes, model: str) -> None:
        """``model`` is the registered name that approvals must bear: a bundle of another symbol is not for this one."""
        if not key:
            raise BundleError("no deploy key: set TICKLOOP_DEPLOY_KEY in the environment or .env")
        self._plan = plan
        self._folder = folder
        self._ledger = ledger
        self._key = key
        self._model = model
        for left_over in folder.glob(".*.tmp"):
            shutil.rmtree(left_over)

    def accept(self, body: bytes, claimed_signature: str, role: Pushed = "champion") -> tuple[str, Strategy]:
        """The sha of a packed bundle, and its strategy, warmed. Raises Refusal, naming what is wrong."""
        try:
            files = unpack(body)
        except BundleError as error:
            raise Refusal("malformed", str(error)) from error
        manifest = files[MANIFEST]
        if not hmac.compare_digest(signature(manifest, self._key).encode(), claimed_signature.encode()):
            raise Refusal("signature", "the manifest does not carry the signature of our deploy key")
        sha = hashlib.sha256(manifest).hexdigest()
        self.require_approval(sha, role)
        return sha, self._install(sha, files)

    def kept_fallback(self) -> Model | None:
        """The newest fallback that the ledger approves, that lies here from an earlier run, and can serve.

        None where none lies here. Raises RegistryError if the ledger cannot be read, BundleError or ModelError with the
        newest one's fault if none can serve.
        """
        approved = [one.bundle_sha for one in self._ledger.standing(self._model) if one.alias == "fallback"]
        stored = dict.fromkeys(sha for sha in reversed(approved) if (self._folder / sha).is_dir())
        faults: list[ModelError] = []
        for sha in stored:
            try:
                return Model(strategy_of(self._plan, self._folder / sha), sha)
            except ModelError as fault:
                LOG.warning("fallback %s cannot serve: %s", sha[:12], fault)
                faults.append(fault)
        if faults:
            raise faults[0]
        return None

    def require_approval(self, sha: str, role: Pushed = "champion") -> None:
        """Raise Refusal unless the ledger approves a bundle for a role."""
        try:
            approved = self._ledger.approves(sha, self._model, role)
        except RegistryError as error:
            raise Refusal("ledger", f"approval cannot be checked: {error}") from error
        if not approved:
            asked = f"as {role} in the promotion ledger, for {self._model}"
            raise Refusal("unapproved", f"bundle {sha[:12]} is not approved {asked}")

    def _install(self, sha: str, files: dict[str, bytes]) -> Strategy:
        target = self._folder / sha
        temporary = temporary_beside(target)
        try:
            temporary.mkdir(parents=True)
            for name, content in files.items():
                (temporary / name).write_bytes(content)
            strategy = self._prove(temporary)
            if not _holds(target, files):  # the journal may name it: what lies there whole never goes missing
                shutil.rmtree(target, ignore_errors=True)
                temporary.rename(target)
        except OSError as error:
            raise Refusal("disk", f"the bundle cannot be stored: {error.strerror}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return strategy

    def _prove(self, folder: Path) -> Strategy:
        try:
            bundle = read_bundle(folder, catalogue_content(self._plan.features))
            strategy = strategy_from(self._plan, bundle)
        except OtherCatalogue as error:
            raise Refusal("catalogue", str(error)) from error
        except BundleError as error:
            raise Refusal("corrupt", str(error)) from error
        except ModelError as error:
            raise Refusal("model", str(error)) from error
        step_us, budget_us = _step_us(strategy, bundle.golden), bundle.latency_budget_us
        if step_us > budget_us:
            raise Refusal("slow", f"one step takes {step_us:.0f} us here, its budget is {budget_us:.0f} us")
        return strategy


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False


def _step_us(strategy: Strategy, golden: Golden) -> float:
    """Median time of one step on the golden rows, microseconds."""
    state, times = strategy.forecaster.new_state(), []
    for index in range(min(TIMED_STEPS, len(golden.values))):
        started = time.perf_counter_ns()
        strategy.forecaster.step(state, golden.values[index], bool(golden.valid[index]))
        times.append(time.perf_counter_ns() - started)
    return statistics.median(times) / 1e3
