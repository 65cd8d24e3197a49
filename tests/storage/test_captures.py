"""Capture files: read to their end or refused by name."""

import gzip

import pytest

from market.errors import CorruptFile
from market.simulator import synthetic_capture
from market.sources import decoder_for
from storage.captures import capture_lines
from tests.builders_market import COINM_BTC, import_capture

LINES = list(synthetic_capture(COINM_BTC, 1, 1_723_161_600_000_000_000, 1.0))


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "tape.gz"
    path.write_bytes(gzip.compress(b"".join(LINES)))
    return path


def test_packed_and_plain_captures_give_the_same_lines(packed, tmp_path):
    plain = tmp_path / "tape.txt"
    plain.write_bytes(b"".join(LINES))
    assert list(capture_lines(packed)) == list(capture_lines(plain)) == LINES


def test_a_truncated_gzip_fails_the_import_and_names_the_file(packed):
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(CorruptFile, match=r"tape\.gz"):
        import_capture(capture_lines(packed), decoder_for(COINM_BTC), 0.5)


@pytest.mark.parametrize(
    "damage", [lambda data: b"no gzip" + data, lambda data: data[:2_000] + b"\0" * 50 + data[2_050:]]
)
def test_a_corrupt_gzip_is_refused_by_name(packed, damage):
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(CorruptFile, match=r"tape\.gz"):
        list(capture_lines(packed))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(CorruptFile, match="nothing.gz"):
        list(capture_lines(tmp_path / "nothing.gz"))
