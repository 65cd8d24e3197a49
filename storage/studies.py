"""Where a search keeps its study, a journal file or a database, and how processes that share it see each other."""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

from market.errors import ConfigError, LakeError
from storage.files import locked

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

URL: Final = "TICKLOOP_STUDY_URL"  # in the environment: models.search.storage with user and password
BEAT_S: Final = 30  # between two signs of life of a trial in a database
_SILENT_BEATS: Final = 4  # without a sign, after which its process counts as dead
_WORKER: Final = "worker"  # attribute of a trial: the name of the process that runs it
_CREATION: Final = 7_103_845  # key of the database's lock under which its tables are made
_POLL_S: Final = 0.5  # while other processes hold all trials that are left


def study_storage(path: Path, url: str, beat_s: int = BEAT_S) -> "optuna.storages.BaseStorage":
    """Storage of studies: the database at ``url``, or one append-only file where that is empty.

    Raises ConfigError if the database does not answer.
    """
    return study_database(secret_url(url), beat_s) if url else study_journal(path)


def secret_url(url: str) -> str:
    """``url`` as the environment completes it. Raises ConfigError if that names another server or database."""
    whole = os.environ.get(URL) or url
    said, meant = urlsplit(url), urlsplit(whole)
    if (said.scheme, said.hostname, said.port, said.path) != (meant.scheme, meant.hostname, meant.port, meant.path):
        raise ConfigError(f"{URL} is of another database than models.search.storage={url!r}")
    return whole


def study_database(url: str, beat_s: int) -> "optuna.storages.BaseStorage":
    """Storage of studies in a database that many machines share. Raises ConfigError if it does not answer."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _sole_creator(url), warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # what Optuna calls its signs of life
            return RDBStorage(url, heartbeat_interval=beat_s, grace_period=_SILENT_BEATS * beat_s)
    except (SQLAlchemyError, ImportError) as error:
        where = urlsplit(url)
        reason = str(error.__cause__ or error).splitlines()[0]
        raise ConfigError(
            f"no study database at {where.scheme}://{where.hostname or ''}{where.path}: {reason}"
        ) from None


@contextmanager
def _sole_creator(url: str) -> Iterator[None]:
    """Of processes that find a PostgreSQL empty at once all but one die of its tables: they take turns."""
    from sqlalchemy import create_engine, make_url, text

    if make_url(url).get_backend_name() != "postgresql":
        yield
        return
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": _CREATION})
            yield
    finally:
        engine.dispose()


def study_journal(path: Path) -> "optuna.storages.JournalStorage":
    """Storage of studies in one append-only file."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path.parent.mkdir(parents=True, exist_ok=True)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_FileLock(path)))


class _FileLock:
    """Optuna's lock by the system's, which a killed process cannot leave behind (Optuna's own waits 30 s for one)."""

    def __init__(self, journal: Path) -> None:
        self._journal, self._path = journal, journal.with_name(f".{journal.name}.lock")
        self._held = ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock; whoever holds it writes behind a whole line."""
        self._held.enter_context(locked(self._path))
        _cut_torn_line(self._journal)
        return True

    def release(self) -> None:
        """Give it back."""
        self._held.close()


def _cut_torn_line(journal: Path) -> None:
    """Take off what a process that died while it wrote left behind the last whole line."""
    with journal.open("rb") as file:
        if not (size := file.seek(0, os.SEEK_END)):
            return
        file.seek(size - 1)
        whole = file.read() == b"\n"
    if not whole:
        os.truncate(journal, journal.read_bytes().rfind(b"\n") + 1)


class StudyCrew:
    """The processes that search one study (a modeling.search.Crew); a context in which this one is among them.

    Of a journal, which lies on this machine, each process holds a lock beside it that the system frees with its death.
    In a database a trial gives signs of life, by the server's clock.
    """

    def __init__(self, storage: "optuna.storages.BaseStorage", folder: Path, now: Callable[[], datetime]) -> None:
        self.name = uuid4().hex
        self._storage, self._folder, self._now, self._held = storage, folder, now, ExitStack()

    def __enter__(self) -> Self:
        self._held.enter_context(locked(self._lock_of(self.name)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._held.close()
        self._lock_of(self.name).unlink(missing_ok=True)

    @contextmanager
    def working_on(self, trial: "optuna.Trial") -> Iterator[None]:
        """Until it is left, the others see that this process works on the trial."""
        with self._beating(trial):
            trial.set_user_attr(_WORKER, self.name)
            yield

    def give_up(self, study: "optuna.Study") -> None:
        """Fail the running trials of processes that are dead."""
        from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
        from optuna.storages import fail_stale_trials
        from optuna.trial import TrialState

        if self._beats:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                fail_stale_trials(study)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._left(trial):
                with suppress(UpdateFinishedTrialError):  # another process gave it up in the same moment
                    study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def wait(self) -> None:
        """Let the others come further."""
        time.sleep(_POLL_S)

    def _left(self, trial: "FrozenTrial") -> bool:
        """Whether the process that began a trial is dead; one that died before it put its name there, after a while."""
        worker = trial.user_attrs.get(_WORKER)
        if worker is None:
            begun = trial.datetime_start or self._now()
            return self._now() - begun > timedelta(seconds=_SILENT_BEATS * BEAT_S)
        return not self._beats and worker != self.name and not self._holds_its_lock(worker)

    def _holds_its_lock(self, worker: str) -> bool:
        if not self._lock_of(worker).exists():  # it has left in order, and looking must not leave its lock behind
            return False
        try:
            with locked(self._lock_of(worker), LakeError(f"{worker} is at work")):
                return False
        except LakeError:
            return True

    def _lock_of(self, worker: str) -> Path:
        return self._folder / f".worker-{worker}.lock"

    @property
    def _beats(self) -> bool:
        from optuna.storages import RDBStorage

        return isinstance(self._storage, RDBStorage)

    def _beating(self, trial: "optuna.Trial") -> Any:
        from optuna.storages import RDBStorage
        from optuna.storages._heartbeat import HeartbeatThread  # Optuna starts it itself only where it runs the loop

        if not isinstance(self._storage, RDBStorage):
            return nullcontext()
        self._storage.record_heartbeat(trial._trial_id)
        return HeartbeatThread(trial._trial_id, self._storage)
