"""The sample recordings: where each may be had, and how we know it is the right one. No recording is ever committed."""

import difflib
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from market.errors import CorruptFile, RecordingError, Unreachable
from storage.download import Progress, RemoteFile, download, verify
from storage.files import file_sha256, publish

ROOT: Final = Path(__file__).resolve().parents[1]
HFTBACKTEST: Final = "https://raw.githubusercontent.com/nkaz001/hftbacktest"
CRYPTOFEED: Final = "https://raw.githubusercontent.com/bmoscon/cryptofeed/57d5f18d6098f7aa294a3947796cc27d94c3a99c"
MIT_BINANCE: Final = "MIT (licence of the repository); Binance market data"
_DATE: Final = re.compile(r"(?<!\d)(20\d\d)-?([01]\d)-?([0-3]\d)(?!\d)")
XFREE86: Final = "cryptofeed licence (MIT-like, XFree86-1.1 style); exchange market data"


@dataclass(frozen=True, slots=True)
class Recording:
    """One file of a real feed, its origin pinned to a commit."""

    name: str  # "binance/coinm/btcusd_perp_20240808.gz"
    url: str
    sha256: str
    bytes: int
    licence: str


def _binance(name: str, commit: str, path: str, size: int, sha256: str) -> Recording:
    return Recording(f"binance/{name}.gz", f"{HFTBACKTEST}/{commit}/examples/{path}", sha256, size, MIT_BINANCE)


def _websocket(venue: str, size: int, sha256: str) -> Recording:
    file = f"{venue}.jsonl.zst"
    return Recording(f"websocket/{file}", f"{CRYPTOFEED}/sample_data/{file}", sha256, size, XFREE86)


_RECORDINGS: Final = (
    _binance(
        "coinm/btcusd_perp_20240808",
        "c4183c646c744222812405fb3618a39ab75a4a8d",
        "cm/btcusd_perp_20240808.gz",
        2_143_383,
        "795efa5540bfca87d20181df5c444741a8cc31810689c429a4004cbbd0b3a374",
    ),
    _binance(
        "coinm/btcusd_perp_20240809",
        "5c56046470ced38797906e3c457cacd5b7e7aedb",
        "cm/btcusd_perp_20240809.gz",
        2_366_357,
        "49ae1c7797b924e7f1dca4c5a64f5cebafaf08473041227b4b142b447c56c766",
    ),
    _binance(
        "coinm/ethusd_perp_20240808",
        "f82fc11e6a55f47687b94e7f96cd61f51c0513b6",
        "cm/ethusd_perp_20240808.gz",
        1_688_272,
        "a4be5dd61b71ee9b1c36a2a7b407bd56abe1b563088b46e8eb0d436b4d4e1b80",
    ),
    _binance(
        "coinm/ethusd_perp_20240809",
        "5c56046470ced38797906e3c457cacd5b7e7aedb",
        "cm/ethusd_perp_20240809.gz",
        1_818_146,
        "91d3fb8441674c501afc6a5c7c3b4687d56cc93aca5d171b8ccc1cf7d97a8a1d",
    ),
    _binance(
        "spot/btcusdt_20240808",
        "f82fc11e6a55f47687b94e7f96cd61f51c0513b6",
        "spot/btcusdt_20240808.gz",
        1_274_097,
        "5d263f4c5379cfc27379ef0e22779aa33804463d1b69c292e9c0714e31f2e1b4",
    ),
    _binance(
        "spot/btcusdt_20240809",
        "f82fc11e6a55f47687b94e7f96cd61f51c0513b6",
        "spot/btcusdt_20240809.gz",
        1_754_087,
        "2981a27474b8903133cc66e25f4da561140dd061c942b84801b9d8c60e4b3599",
    ),
    _binance(
        "spot/ethusdt_20240808",
        "c4183c646c744222812405fb3618a39ab75a4a8d",
        "spot/ethusdt_20240808.gz",
        1_104_666,
        "179a67651ec90f8d299c033f85df29027315a30a738eae74a1388d560f80a737",
    ),
    _binance(
        "spot/ethusdt_20240809",
        "c4183c646c744222812405fb3618a39ab75a4a8d",
        "spot/ethusdt_20240809.gz",
        1_590_713,
        "7be2b6113ced0cdb125bfa7607aacb18acd1f3cea9a248d1f53c627c7eed6bb8",
    ),
    _binance(
        "usdm/btcusdt_20230404",
        "b73eae70c674050dca294e1a1f53e4e2d0221ff0",
        "usdm/btcusdt_20230404.dat.gz",
        578_568,
        "85c1c350353bc5d73c8d48daf1519d1a7ce8d0bbe703be0b45278171876e110d",
    ),
    _binance(
        "usdm/btcusdt_20230405",
        "b73eae70c674050dca294e1a1f53e4e2d0221ff0",
        "usdm/btcusdt_20230405.dat.gz",
        2_313_536,
        "f08860355a5924f7220dc26836485ea0f36dc3dabb22948d0d36af00e08e89c0",
    ),
    _binance(
        "usdm/btcusdt_20240808",
        "5c56046470ced38797906e3c457cacd5b7e7aedb",
        "usdm/btcusdt_20240808.gz",
        3_637_062,
        "0ad7b3a0f5cff220761ea890cfd6e3c15f6899edc7f94637ec915043d7a72251",
    ),
    _binance(
        "usdm/ethusdt_20240808",
        "f82fc11e6a55f47687b94e7f96cd61f51c0513b6",
        "usdm/ethusdt_20240808.gz",
        3_598_848,
        "6b76bc224bbb7fe402e7206066775e17e18dbc697247fbab8ebcc38289a3f772",
    ),
    _websocket("BINANCE", 74_210, "2c4a2015deba0697df605af1bef3eb787594b3bb0fc21e2c6290ac2b1e2cd9d3"),
    _websocket("BINANCE_FUTURES", 93_072, "727bf923699e03302d3f0e1c391c61e3397014f6f7073f8b7d4ed4f7f41a1a20"),
    _websocket("BYBIT", 206_376, "9844b5e38fd2db01066d3e30c8df4032c99462b4c0aba66b91fb0d62042851b9"),
    _websocket("COINBASE", 668_995, "35aeaf9fbdc7d7c6b4a649bd5408d13e0c6a4db89274ff001c01131b6f5b9f25"),
    _websocket("DERIBIT", 17_347, "0e872d0dbf52e4e3a6fbc6eeb9986f542aee7c18a38ad1eee8a3df867e37eafb"),
    _websocket("KRAKEN_FUTURES", 133_487, "3a86b7e93d49bfe14ec3be7f94cc5d708a853ba8516b2979bfc400a9e1407fba"),
    _websocket("OKX", 65_218, "cf796749e6a1ab8ba5ba035b430c8b826b2d8201ffaca3927f4148228eaa31d9"),
)
CATALOGUE: Final = {recording.name: recording for recording in _RECORDINGS}


def catalogue_lines() -> list[str]:
    """The catalogue for people: name, size, licence, and where each is fetched."""
    return [f"{one.name:40} {one.bytes:>9,} bytes  {one.licence}\n    {one.url}" for one in CATALOGUE.values()]


def find(name: str) -> Recording:
    """The catalogue's entry of that name.

    Raises RecordingError, which names the nearest ones, if there is none.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    nearest = difflib.get_close_matches(name, CATALOGUE, n=2, cutoff=0.4)
    hint = f"nearest: {', '.join(nearest)}" if nearest else "`main.py fetch` lists them"
    raise RecordingError(f"no recording {name!r}; {hint}")


def recordings_folder() -> Path:
    """This machine's recordings: ``TICKLOOP_RECORDINGS``, else ``shared/recordings`` beside the repository."""
    return Path(os.environ.get("TICKLOOP_RECORDINGS") or ROOT.parent / "shared" / "recordings")


def local_recording(name: str) -> Path:
    """The recording as it lies on this machine.

    Raises RecordingError if it is unknown, missing, or not the promised bytes.
    """
    wanted, path = find(name), recordings_folder() / name
    if not path.is_file():
        raise RecordingError(f"{name} is not in {recordings_folder()}; set TICKLOOP_RECORDINGS, or fetch it")
    if not _matches(path, wanted):
        raise RecordingError(f"{path} is not the {name} of the catalogue: its sha256 differs")
    return path


def fetch(name: str, folder: Path, progress: Progress) -> Path:
    """The recording in ``folder``: as it is there, else copied from this machine, else downloaded and verified.

    ``progress`` hears bytes so far and bytes in all while it downloads.
    Raises Unreachable if it can be had from nowhere, CorruptFile if its bytes are not the promised ones, and
    RecordingError if the name is unknown or the disk does not take the file.
    """
    wanted, target = find(name), folder / name
    try:
        if not _matches(target, wanted):
            _bring(recordings_folder() / name, target, wanted, progress)
    except OSError as failed:  # no room, no right
        raise RecordingError(f"cannot write {target}: {failed.strerror}") from failed
    return target


def _bring(source: Path, target: Path, wanted: Recording, progress: Progress) -> None:
    if _matches(source, wanted):
        _copy(source, target, wanted)
        return
    try:
        download(RemoteFile(wanted.url, wanted.bytes, wanted.sha256), target, progress)
    except Unreachable as failed:
        wrong = [path for path in (target, source) if path.is_file()]
        if not wrong:
            raise
        raise CorruptFile(f"{wrong[0]} is here, but its sha256 differs from the catalogue's; {failed}") from failed


def _matches(path: Path, wanted: Recording) -> bool:
    return path.is_file() and path.stat().st_size == wanted.bytes and file_sha256(path) == wanted.sha256


def _copy(source: Path, target: Path, wanted: Recording) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    verify(part, wanted.sha256)
    publish(part, target)


def files_by_date(files: Iterable[Path]) -> dict[str, Path]:
    """Daily files by the UTC date that their names carry, oldest first; ``..._20240808.gz`` is of 2024-08-08.

    Raises RecordingError if a name carries no date, or two carry the same.
    """
    days = all_files_by_date(files)
    for date, (first, *others) in days.items():
        if others:
            raise RecordingError(f"duplicate file: {others[0]} and {first} are both of {date}; a day is one file")
    return {date: paths[0] for date, paths in days.items()}


def all_files_by_date(files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files of each UTC date that names carry, oldest first; where a name carries several, the last one counts.

    Raises RecordingError if a name carries no date.
    """
    days: dict[str, list[Path]] = {}
    for path in files:
        days.setdefault(_date(path), []).append(path)
    return dict(sorted(days.items()))


def _date(path: Path) -> str:
    found = _DATE.findall(path.name)
    if not found:
        raise RecordingError(f"{path} carries no date; daily files are named ..._YYYYMMDD.gz")
    return "-".join(found[-1])
