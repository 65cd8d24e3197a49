"""Weights that a slice's members start from: those of the slice before, where a profile says so and they fit."""

from typing import NamedTuple

from assets.partitions import WHOLE, Part
from assets.tables import passed
from assets.walk_forward_slices import frame_slices
from modeling.architecture import Architecture, other_architecture
from modeling.snapshot import ENSEMBLE, ModelSnapshot, member_of
from storage.lake import Lake


class Start(NamedTuple):
    """What a member's fit begins with, and why, in a line for the manifest."""

    model: ModelSnapshot | None
    line: str


def slice_before(lake: Lake, part: Part) -> Part | None:
    """The slice just before this one, if its models passed their checks."""
    keys = [piece.key for piece in frame_slices(lake.scan("walk_forward_slices", part.symbol, [WHOLE]).collect())]
    place = keys.index(part.key)
    before = Part(part.symbol, keys[place - 1]) if place else None
    return before if before is not None and passed(lake, "models", before) is not None else None


def start_of_member(network: Architecture, key: str, before: ModelSnapshot | None, member: int) -> Start:
    """The weights of the same member of slice ``key``; none where it has no such member, or another network."""
    if before is None:
        return Start(None, "cold: no slice before this one has a model")
    members = len(before.spec["members"]) if before.kind == ENSEMBLE else 1
    if member >= members:
        return Start(None, f"cold: the model of {key} has {members} members")
    found = member_of(before, member) if before.kind == ENSEMBLE else before
    if difference := other_architecture(network, found.kind, found.spec):
        return Start(None, f"cold: the network of {key} is another one: {difference}")
    return Start(found, f"warm: member {member} of {key}")
