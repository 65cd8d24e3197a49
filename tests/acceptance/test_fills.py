"""On every recording the compiled venue fills as the plain one does, under every queue model, in both orders."""

import pytest

from backtest.parameters import QUEUE_MODELS
from tests.builders_market import RUNS
from tests.recorded_trading import compare_on_recording

pytestmark = pytest.mark.acceptance


@pytest.mark.parametrize("model", QUEUE_MODELS)
@pytest.mark.parametrize("run", RUNS)
def test_both_venues_fill_alike_on_every_recording(run: str, model: str) -> None:
    failures = {"reject_share": 0.05, "cancel_reject_share": 0.1, "cancel_lost_share": 0.1}
    compare_on_recording(run, aligned=False, queue_model=model, queue_power=3.0, **failures)
    compare_on_recording(run, aligned=True, queue_model=model, queue_power=3.0, crossed_book="fill", **failures)
