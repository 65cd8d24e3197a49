"""The tree of exceptions: whoever catches ``TickloopError`` has caught everything that we raise on purpose."""


class TickloopError(Exception):
    """A fault that one clear line can explain to the person at the command line."""


class ConfigError(TickloopError):
    """A setting is unknown, missing or out of its range."""


class DataError(TickloopError):
    """Bytes, events or frames that cannot be what they claim to be."""


class MalformedMessage(DataError):
    """One message of a venue cannot be read; it is quarantined and the rest goes on."""


class OffGrid(DataError):
    """A price is no multiple of the tick, or a quantity no multiple of the lot."""


class CorruptFile(DataError):
    """A file is truncated, or its hash is not the promised one."""


class RecordingError(DataError):
    """A sample recording is unknown, missing or cannot be fetched."""


class Unreachable(RecordingError):
    """A recording is not on this machine, and its server does not give it."""


class LakeError(DataError):
    """A partition is missing, torn, or did not pass its checks."""


class WarehouseError(TickloopError):
    """ClickHouse cannot be opened, or refuses what was asked."""


class LeakageError(TickloopError):
    """A value would know something from its own future."""


class NotEnoughData(TickloopError):
    """Too few rows for what was asked."""


class ModelError(TickloopError):
    """A model cannot be trained, exported or used."""


class StoppingError(ModelError):
    """A runner that is coming to its end takes no model any more."""


class BundleError(ModelError):
    """A bundle is torn, forged, or made for another catalogue."""


class OtherCatalogue(BundleError):
    """A whole bundle was made for another feature catalogue than ours."""


class RegistryError(TickloopError):
    """The registry does not hold what was asked, or refuses the change."""


class BacktestError(TickloopError):
    """The tape, the latencies or the orders of a backtest contradict each other."""


class VenueError(TickloopError):
    """A venue cannot be reached, or answers with a refusal."""


class OrderRefused(VenueError):
    """A venue has said no: what was asked has not been done."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code  # the venue's own


class RefusedForNow(OrderRefused):
    """A venue sends us away for a while, or disputes our clock: nothing was done, and it may be asked again."""

    def __init__(self, code: int, text: str, wait_s: float = 0.0) -> None:
        super().__init__(code, text)
        self.wait_s = wait_s  # before the venue wants to hear of us again


class NoAnswer(VenueError):
    """A venue has said nothing: what was asked may have been done or not."""


class BackgroundError(TickloopError):
    """Work in the background that trading may not go on without has ended."""


class JournalError(TickloopError):
    """A journal segment cannot be read or written."""
