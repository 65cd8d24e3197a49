"""A full disk, a kill and a second writer leave the partition that is in force as it was, and say what happened."""

import errno
import io
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import pytest

from market.errors import LakeError
from storage import parquet
from storage.lake import Lake, Manifest

DAY = ("events", "venue-coin", "2024-08-08")
OLD = pl.DataFrame({"ingest_ts": np.arange(100)})
SPAWN = multiprocessing.get_context("spawn")


def noise(rows: int, seed: int = 0) -> pl.DataFrame:
    """Rows that no codec makes smaller."""
    return pl.DataFrame({"ingest_ts": np.random.default_rng(seed).integers(0, 2**62, rows)})


def with_old_partition(root: Path) -> Manifest:
    lake = Lake(root)
    lake.write(*DAY, OLD, schema_sha="s1", state={"head": np.arange(3)})
    return lake.set_verdict(*DAY, True, {})


def assert_only_the_old_one_is_there(root: Path, old: Manifest) -> None:
    assert sorted(path.name for path in root.joinpath(*DAY).iterdir()) == sorted(["manifest.json", ".lock", *old.files])
    assert Lake(root).manifest(*DAY) == old
    assert Lake(root).scan(*DAY[:2]).collect().equals(OLD)
    assert Lake(root).verify() == []


def write_a_megabyte(root: Path) -> None:
    with Lake(root).writing(*DAY, schema_sha="s1") as partition:
        for seed in range(16):
            partition.append(noise(8_192, seed))
        partition.commit()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte; skips where nobody may mount one."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def test_a_disk_that_fills_up_in_the_middle_is_one_line(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 8_192)
    old = with_old_partition(small_disk)
    with pytest.raises(LakeError) as refused:
        write_a_megabyte(small_disk)
    assert str(refused.value) == "cannot write events/venue-coin/2024-08-08: No space left on device"
    assert_only_the_old_one_is_there(small_disk, old)


class FullAfter(io.FileIO):
    """A file on a disk with room for so many bytes."""

    room = 100_000

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(content)


def open_with_little_room(path: Path, mode: str) -> IO[Any]:
    return FullAfter(path, mode) if path.suffix == ".tmp" else open(path, mode)


@pytest.mark.parametrize("room", [0, 100_000, 500_000])
def test_a_file_that_takes_no_more_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 8_192)
    old = with_old_partition(tmp_path)
    monkeypatch.setattr(FullAfter, "room", room)
    with monkeypatch.context() as full:
        full.setattr(Path, "open", open_with_little_room)
        with pytest.raises(LakeError, match="No space left on device"):
            write_a_megabyte(tmp_path)
    assert_only_the_old_one_is_there(tmp_path, old)


def test_a_writer_that_failed_takes_no_more(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 8_192)
    with Lake(small_disk).writing(*DAY, schema_sha="s1") as partition:
        with pytest.raises(LakeError, match="No space left"):
            partition.append(noise(200_000))
        with pytest.raises(LakeError, match="could not be written; begin it again"):
            partition.commit()


def write_when_told(root: Path, told: Connection) -> None:
    """Begin a partition, say so, and commit it when told to."""
    with Lake(root).writing(*DAY, schema_sha="s1") as partition:
        partition.append(noise(300_000))
        told.send("begun")
        told.recv()
        told.send(partition.commit().rows)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[tuple[Any, Connection]]:
    """Another process that has begun to write the partition over an old one."""
    with_old_partition(tmp_path)
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=write_when_told, args=(tmp_path, theirs))
    process.start()
    try:
        assert ours.poll(60)
        assert ours.recv() == "begun"
        yield process, ours
    finally:
        process.kill()
        process.join()


def test_of_two_processes_on_one_partition_the_second_is_refused(
    tmp_path: Path, writer: tuple[Any, Connection]
) -> None:
    process, told = writer
    refused = "events/venue-coin/2024-08-08 is being written by another process"
    with pytest.raises(LakeError, match=refused), Lake(tmp_path).writing(*DAY, schema_sha="s1"):
        pass
    with pytest.raises(LakeError, match=refused):
        Lake(tmp_path).set_verdict(*DAY, False, {})
    assert Lake(tmp_path).sweep() == 0
    assert Lake(tmp_path).scan(*DAY[:2]).collect().equals(OLD)
    told.send("commit")
    assert told.recv() == 300_000
    process.join()
    assert Lake(tmp_path).scan(*DAY[:2], unchecked=True).collect().height == 300_000
    assert Lake(tmp_path).verify() == []


def test_a_writer_killed_in_the_middle_harms_nothing(tmp_path: Path, writer: tuple[Any, Connection]) -> None:
    process, _ = writer
    old = Lake(tmp_path).manifest(*DAY)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert Lake(tmp_path).scan(*DAY[:2]).collect().equals(OLD)
    assert Lake(tmp_path).sweep() == 1
    assert_only_the_old_one_is_there(tmp_path, old)
    Lake(tmp_path).write(*DAY, noise(5), schema_sha="s1")
    assert Lake(tmp_path).verify() == []
