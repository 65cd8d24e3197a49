"""A fit by as many processes as the settings name devices: this one starts them, hears their epochs and ends them."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from market.errors import ModelError, TickloopError
from modeling.architecture import Architecture
from modeling.augmentation import Mirror
from modeling.parameters import TrainingParameters
from modeling.snapshot import ModelSnapshot
from modeling.training_parts import TrainingSource
from modeling.training_rows import TrainingSet

if TYPE_CHECKING:
    from modeling.training import Fit, Report

_HERE: Final = "127.0.0.1"
_LOOPBACK: Final = "lo"  # Linux's name of it; elsewhere gloo finds an interface by itself


@dataclass(frozen=True)
class Work:
    """What is fitted on what; see modeling.training.fit. To be shared it must be picklable, clock and source too."""

    network: Architecture
    train: TrainingSet | TrainingSource
    val: TrainingSet | TrainingSource
    training: TrainingParameters
    folder: Path | None = None
    before: ModelSnapshot | None = None
    clock: Callable[[], float] | None = None
    mirror: Mirror | None = None

    def fit(self, report: "Report | None" = None) -> "Fit":
        """The fit in this process."""
        from modeling.training import fit

        return fit(
            self.network,
            self.train,
            self.val,
            self.training,
            report,
            folder=self.folder,
            before=self.before,
            clock=self.clock,
            mirror=self.mirror,
        )


class _Rank(NamedTuple):
    """One of the processes, and where it is heard."""

    process: SpawnProcess
    heard: Connection


def fit_on_devices(work: Work, report: "Report | None" = None) -> "Fit":
    """The fit, by one process a device of this machine; the same bytes as if ``torchrun`` had started them.

    Where ``torchrun`` did start this process, it is one of them. An error that ``report`` raises ends them all.
    Raises what the fit raises, and ModelError where a process ends before the fit does.
    """
    from torch.distributed import is_torchelastic_launched

    if work.training.devices == 1 or is_torchelastic_launched():
        return work.fit(report)
    with _group(work) as ranks:
        return _fit_of(ranks, report)


@contextmanager
def _group(work: Work) -> Iterator[list[_Rank]]:
    """Processes that fit together; none is left when the context is."""
    from torch.distributed import TCPStore

    context, count = multiprocessing.get_context("spawn"), work.training.devices
    store = TCPStore(_HERE, 0, is_master=True, wait_for_workers=False)  # where they find each other
    ranks: list[_Rank] = []
    try:
        for number in range(count):
            heard, told = context.Pipe(duplex=False)
            arguments = (work, _environment(number, count, store.port), told)
            ranks.append(_Rank(context.Process(target=_take_part, args=arguments, daemon=True), heard))
            ranks[-1].process.start()
            told.close()  # so that its end is heard here
        yield ranks
    finally:
        for rank in ranks:
            rank.process.kill()  # one that waits for a dead fellow hears no other signal
            rank.process.join()


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What ``torchrun`` tells a process of its group on one machine."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    told |= {"MASTER_ADDR": _HERE, "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "tickloop"}
    told |= {"TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    if _LOOPBACK in (name for _, name in socket.if_nameindex()):
        told["GLOO_SOCKET_IFNAME"] = _LOOPBACK  # a machine's own name may lead to an address that nobody answers at
    return {name: str(value) for name, value in told.items()}


def _take_part(work: Work, environment: dict[str, str], told: Connection) -> None:
    """What each process does: tell each epoch, then the fit or what is wrong with it."""
    os.environ.update(environment)
    try:
        told.send(work.fit(lambda *epoch: told.send(epoch)))
    except TickloopError as error:
        told.send(error)


def _fit_of(ranks: list[_Rank], report: "Report | None") -> "Fit":
    """What the first process came to once all are through; its epochs go to ``report``."""
    fits: dict[int, Fit] = {}
    while len(fits) < len(ranks):
        number = _speaking(ranks, set(fits))
        said = _said(ranks, number)
        if isinstance(said, TickloopError):
            raise said
        if not isinstance(said, tuple):
            fits[number] = said
        elif number == 0 and report is not None:
            report(*said)
    return fits[0]


def _speaking(ranks: list[_Rank], done: set[int]) -> int:
    """The number of a process that has something to say, or has ended."""
    open_ends = {rank.heard: number for number, rank in enumerate(ranks) if number not in done}
    return min(open_ends[one] for one in wait(list(open_ends)))  # type: ignore[index]


def _said(ranks: list[_Rank], number: int) -> Any:
    try:
        return ranks[number].heard.recv()
    except (EOFError, ConnectionError):
        ranks[number].process.join()
        codes = {place: rank.process.exitcode for place, rank in enumerate(ranks, 1)}
        ended = ", ".join(f"process {place} with code {code}" for place, code in codes.items() if code)
        raise ModelError(f"of the {len(ranks)} processes of a fit there ended before it did: {ended}") from None
