"""Files of captures: plain, gzip and zstd read alike; what is damaged or missing is named, and how far it was read."""

import gzip
import random
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from market.errors import CorruptFile
from market.sources.formats import importer_for
from storage.captures import capture_lines, input_file
from storage.progress import Reading
from tests.builders_market import COINM_BTC

LINES = [b'1723161600000000000 {"stream":"btcusd_perp@kline_1m","data":{}}\n'] * 500


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


PACK: dict[str, Callable[[bytes], bytes]] = {"tape.gz": gzip.compress, "tape.zst": zstd, "tape.txt": bytes}


@pytest.mark.parametrize("name", PACK)
def test_plain_gzip_and_zstd_give_the_same_lines(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACK[name](b"".join(LINES)))
    assert list(capture_lines(path)) == LINES
    again = input_file(path)
    assert [again.open().read() for _ in range(2)] == [b"".join(LINES)] * 2


def noisy(count: int) -> list[bytes]:
    """Lines that pack badly, so that half a packed file holds about half of them."""
    noise = random.Random(7)
    return [b'1723161600000000000 {"stream":"x","data":"%d"}\n' % noise.getrandbits(2_000) for _ in range(count)]


@pytest.mark.parametrize("name", ["tape.gz", "tape.zst"])
def test_a_truncated_file_is_named_with_the_last_line_that_an_import_can_read(tmp_path: Path, name: str) -> None:
    path, lines = tmp_path / name, noisy(2_000)
    packed = PACK[name](b"".join(lines))
    path.write_bytes(packed[: len(packed) // 2])
    importer = importer_for("capture", COINM_BTC)
    for read in (importer.newest_ts, lambda files: list(importer.batches(files))):
        with pytest.raises(CorruptFile, match=rf"{name} cannot be read to its end, after line") as caught:
            read([input_file(path)])
        [place] = re.findall(r"after line (\d+) \((\d+) bytes of text\): ", str(caught.value))
        number, size = map(int, place)
        assert 700 < number < 1_300
        assert sum(map(len, lines[:number])) <= size < sum(map(len, lines[: number + 1]))


@pytest.mark.parametrize("name", ["tape.gz", "tape.zst"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no archive at all")
    with pytest.raises(CorruptFile, match=rf"{name} cannot be read to its end: "):
        list(capture_lines(path))


def test_a_damaged_byte_inside_a_gzip_is_found(tmp_path: Path) -> None:
    path, packed = tmp_path / "tape.gz", bytearray(gzip.compress(b"".join(LINES)))
    packed[-6] ^= 0xFF  # of the checksum
    path.write_bytes(packed)
    with pytest.raises(
        CorruptFile, match=r"tape\.gz cannot be read to its end, after line 500 \(\d+ bytes of text\): CRC"
    ):
        list(capture_lines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptFile, match=r"nothing\.gz cannot be read to its end: .*No such file"):
        list(capture_lines(tmp_path / "nothing.gz"))


def test_progress_counts_the_bytes_that_lie_on_the_disk(tmp_path: Path) -> None:
    path, heard = tmp_path / "tape.gz", list[int]()
    path.write_bytes(gzip.compress(b"".join(LINES)))
    with input_file(path, heard.append).open() as stream:
        stream.read()
    assert heard == sorted(heard)
    assert heard[-1] == path.stat().st_size


def test_a_long_import_says_how_far_it_is_and_a_short_one_only_what_came_of_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    for every_s, expected in ((0.0, 4), (60.0, 1)):
        said = list[str]()
        reading = Reading({first: 1_000_000, second: 3_000_000}, said.append, every_s)
        reading.of(first)(1_000_000)
        reading.of(second)(1_000_000)
        reading.of(second)(3_000_000)
        reading.done("7 lines")
        assert len(said) == expected
        assert said[-1].startswith("read a.gz, b.gz, 4.0 MB, in ")
        assert said[-1].endswith(": 7 lines")
        assert expected == 1 or " 50 % of 4.0 MB" in said[1]
