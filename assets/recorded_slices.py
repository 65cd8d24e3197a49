"""Walk-forward slices over the span that recordings share: each symbol apart, with gross three-class targets."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from assets.recorded_rows import Recorded
from config.settings import Settings
from market.errors import NotEnoughData
from market.units import NS_PER_MS
from modeling.gross_targets import Doubles, classified, gross_set, margins_bp, pooled
from modeling.parameters import WalkForwardParameters
from modeling.sampling import weighted_by_uniqueness
from modeling.training_rows import TrainingSet, window
from modeling.walk_forward import Slice, assert_purged, split_validation, walk_forward

HORIZONS_MS: Final = (250, 1000)
TRAIN_SHARE: Final = 0.34  # of the shared span: Train of the first slice; that of later ones has grown to their Val
VAL_SHARE: Final = 0.15
SLICES: Final = 2
_NS_PER_S: Final = 1_000_000_000


class Windows(NamedTuple):
    """One slice of one symbol; those after Train also hold the rows before them that fill a model's memory."""

    train: TrainingSet
    search: TrainingSet  # first part of Val: early stopping, and the choice among LightGBM's candidates
    calibration: TrainingSet  # second part of Val: calibration and decision rules
    conformal: TrainingSet  # third part of Val: the scores that conformal sets begin with
    test: TrainingSet


class PooledSlice(NamedTuple):
    """One slice of all symbols, in their order."""

    piece: Slice
    symbols: tuple[Windows, ...]
    teachers: tuple[TrainingSet, ...]  # Train of further symbols, on which nobody is judged

    @property
    def whole(self) -> Windows:
        """The symbols one behind the other: what everybody who learns reads."""
        train, *later = zip(*self.symbols, strict=True)
        return Windows(pooled((*train, *self.teachers)), *map(pooled, later))


def recorded_slices(
    settings: Settings, recordings: Sequence[Recorded], teachers: Sequence[Recorded], context_rows: int
) -> list[PooledSlice]:
    """The slices of some recordings, purged by the longest horizon and the latest message.

    teachers : whose rows lie in Train alone, as far as they go
    context_rows : kept before each later window; the longest memory of any model

    Raises NotEnoughData if the recordings share no span that is long enough, or a teacher has no row in a Train.
    """
    lateness_ns = max(one.lateness_ns for one in (*recordings, *teachers))
    purge_ns = -(-(HORIZONS_MS[-1] * 1_000_000 + lateness_ns) // _NS_PER_S) * _NS_PER_S
    data = [_targets(settings, one) for one in recordings]
    pieces = slices_within(*shared_span(data), purge_ns, settings.models.walk_forward)
    for piece in pieces:
        assert_purged(piece, HORIZONS_MS[-1] * 1_000_000, lateness_ns, 0)
    taught = [_targets(settings, one) for one in teachers]
    return [
        PooledSlice(
            piece,
            tuple(windows_of(one, piece, context_rows) for one in data),
            tuple(train_of(one, piece)[0] for one in taught),
        )
        for piece in pieces
    ]


def _targets(settings: Settings, one: Recorded) -> TrainingSet:
    parameters = replace(settings.labels, horizons_ms=HORIZONS_MS)
    contract = settings.instrument(one.symbol).contract
    row_ns = settings.features.row_interval_ms * NS_PER_MS
    return gross_set(one.rows, one.labels, parameters, contract, one.regimes, one.over_ts, row_ns=row_ns)


def shared_span(data: Sequence[TrainingSet]) -> tuple[int, int]:
    """From where every symbol has a valid row to where the first one ends, ns.

    Raises NotEnoughData if a symbol has no valid row, or they share no instant.
    """
    if not all(one.valid.any() for one in data):
        raise NotEnoughData("a recording has no valid row")
    start = max(int(one.row_ts[one.valid][0]) for one in data)
    end = min(int(one.row_ts[-1]) for one in data) + 1
    if end <= start:
        raise NotEnoughData("the recordings have no instant in common")
    return start, end


def slices_within(start: int, end: int, purge_ns: int, lengths: WalkForwardParameters) -> list[Slice]:
    """Slices that fill a span, each Train from its start on; all in ns.

    lengths : of which the shares of the parts of Val are taken
    Raises NotEnoughData if it is too short.
    """
    train, val = (round((end - start) * share) for share in (TRAIN_SHARE, VAL_SHARE))
    test = (end - start - train - val - 2 * purge_ns) // SLICES
    if test <= 2 * purge_ns or val <= 4 * purge_ns:
        raise NotEnoughData(f"a shared span of {(end - start) / _NS_PER_S:.0f} s is too short for {SLICES} slices")
    pieces = walk_forward(start, end, train, val, test, purge_ns)
    shares = lengths.search_share, lengths.calibration_share
    return [
        replace(piece, train=(start, piece.train[1]), parts=split_validation(piece.val, *shares, purge_ns))
        for piece in pieces
    ]


def train_of(data: TrainingSet, piece: Slice) -> tuple[TrainingSet, Doubles]:
    """Train of one symbol, and the margins that are fixed on it."""
    train = window(data, *piece.train)
    margins = margins_bp(train)
    return weighted_by_uniqueness(classified(train, margins)), margins


def windows_of(data: TrainingSet, piece: Slice, context_rows: int) -> Windows:
    """The windows of a slice of one symbol."""
    train, margins = train_of(data, piece)
    later = (classified(window(data, *span, context_rows), margins) for span in (*piece.split, piece.test))
    return Windows(train, *later)
