"""What the sensors of slices and models see in a finished chain."""

import dagster as dg

from assets.partitions import Part
from config.settings import Settings
from orchestration.instance import open_instance
from orchestration.sensors import evaluated_model, new_slices, unregistered_models, untrained_slices
from orchestration.tapes import SYNTHETIC
from storage.lake import Lake
from tests.builders_chain import Built


def test_the_sensor_asks_for_slices_without_a_model_and_only_those(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    assert untrained_slices(copied, lake) == []
    key = lake.dates("evaluation", SYNTHETIC)[0]
    (lake.root / "evaluation" / SYNTHETIC / key / "manifest.json").unlink()
    with (
        open_instance(copied.paths.dagster) as instance,
        dg.build_sensor_context(instance, resources={"lake": lake}) as context,
    ):
        requests = new_slices(copied)(context)
    assert isinstance(requests, list)
    assert [request.partition_key for request in requests] == [f"{key}|{SYNTHETIC}"]
    assert key in requests[0].run_key


def test_the_sensor_skips_and_says_why_where_every_slice_has_a_model(built: Built) -> None:
    settings = built[0]
    with (
        open_instance(settings.paths.dagster) as instance,
        dg.build_sensor_context(instance, resources={"lake": Lake(settings.paths.lake)}) as context,
    ):
        answer = new_slices(settings)(context)
    assert isinstance(answer, dg.SkipReason)
    assert SYNTHETIC in (answer.skip_message or "")


def registering(settings: Settings, lake: Lake) -> list[str | None] | str | None:
    """Run keys that the sensor asks for, or why it does not."""
    with (
        open_instance(settings.paths.dagster) as instance,
        dg.build_sensor_context(instance, resources={"lake": lake}) as context,
    ):
        answer = evaluated_model(settings)(context)
    return answer.skip_message if isinstance(answer, dg.SkipReason) else [request.run_key for request in answer]


def test_an_evaluated_model_is_registered_once(copied: Settings) -> None:
    lake = Lake(copied.paths.lake)
    assert SYNTHETIC in str(registering(copied, lake))
    key = lake.dates("evaluation", SYNTHETIC)[-1]
    (lake.root / "registered_model" / "all" / "all" / "manifest.json").unlink()
    [(part, sha)] = unregistered_models(copied, lake)
    assert part == Part(SYNTHETIC, key)
    assert registering(copied, lake) == [f"registry|{SYNTHETIC}|{key}|{sha[:12]}"]
