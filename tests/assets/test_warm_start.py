"""A slice starts from the one before where the networks are alike, and says so; else it starts cold, and says why."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from assets.fitting import Bench
from assets.models import member_start
from assets.partitions import WHOLE, Part
from assets.walk_forward_slices import slice_frame
from assets.warm_start import slice_before, start_of_member
from config.loading import load_settings
from market.schema import schema_sha
from modeling.calibration import identity
from modeling.snapshot import ensemble_of
from storage.lake import Lake
from tests.builders_modeling import CELLS, random_model, small_network, split_slices

NETWORK = small_network()


def test_a_member_starts_from_its_own_of_the_slice_before() -> None:
    members = [replace(random_model(seed), calibration=identity(len(CELLS))) for seed in range(3)]
    for place, member in enumerate(members):
        start = start_of_member(NETWORK, "k0", ensemble_of(members), place)
        assert start.line == f"warm: member {place} of k0"
        assert start.model is not None
        assert all((start.model.weights[name] == array).all() for name, array in member.weights.items())
    assert start_of_member(NETWORK, "k0", members[0], 0).model is members[0]


def test_a_start_that_does_not_fit_is_cold_and_says_why() -> None:
    other = random_model(0, small_network(width=16))
    assert start_of_member(NETWORK, "", None, 0) == (None, "cold: no slice before this one has a model")
    assert start_of_member(NETWORK, "k0", random_model(0), 1) == (None, "cold: the model of k0 has 1 members")
    found = start_of_member(NETWORK, "k0", other, 0)
    assert found == (None, "cold: the network of k0 is another one: width is 16, not 8")


def test_draws_of_dropout_are_no_network_to_start_from() -> None:
    settings, nothing = load_settings("dev"), cast(Any, None)
    lengths = replace(settings.models.walk_forward, warm_start=True)
    drawn = replace(
        settings.models, walk_forward=lengths, ensemble=replace(settings.models.ensemble, method="mc_dropout")
    )
    on = Bench(replace(settings, models=drawn), "one", nothing, nothing, nothing)
    start = member_start(on, nothing, Part("one", "k1"), nothing, 0)
    assert start == (None, "cold: a bundle of mc_dropout holds draws, not the network that they are of")


def test_the_slice_before_counts_only_where_its_models_passed(tmp_path: Path) -> None:
    lake, pieces = Lake(tmp_path), split_slices(0, 100, 30, 10, 10, 5)
    assert len(pieces) == 5
    frame = slice_frame(pieces)
    lake.write("walk_forward_slices", "one", WHOLE, frame, schema_sha=schema_sha(frame.schema))
    lake.set_verdict("walk_forward_slices", "one", WHOLE, True, {})
    for key, passed in ((pieces[0].key, True), (pieces[1].key, False)):
        lake.write("models", "one", key, frame, schema_sha=schema_sha(frame.schema))
        lake.set_verdict("models", "one", key, passed, {})
    parts = [slice_before(lake, Part("one", piece.key)) for piece in pieces[:3]]
    assert parts == [None, Part("one", pieces[0].key), None]
