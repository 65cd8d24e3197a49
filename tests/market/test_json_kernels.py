"""The compiled reading of JSON, held to Python's own."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.sources.json_kernels import PADDING, decimal, integer, skipped, truth, word


def block(text: str) -> np.ndarray:
    return np.frombuffer(bytearray(text.encode() + b"\n" * PADDING), np.uint8)


@given(st.from_regex(r"(0|[1-9][0-9]{0,7})(\.[0-9]{1,8})?", fullmatch=True))
def test_a_decimal_is_the_nearest_float_of_its_text(text):
    value, after = decimal(block(f'"{text}",'), 0)
    assert (value, after) == (float(text), len(text) + 2)


@pytest.mark.parametrize("text", ['""', '"-1"', '"01"', '"1."', '".5"', '"1e3"', '"1 "', '"9007199254740993"', "1.5"])
def test_a_decimal_of_another_form_is_refused(text):
    assert decimal(block(text), 0)[1] == -1


@given(st.integers(0, 10**18 - 1))
def test_an_integer_is_read_to_its_end(number):
    assert integer(block(f"{number},"), 0) == (number, len(str(number)))


@pytest.mark.parametrize("text", ["", "-1", "007", "1000000000000000000", '"1"'])
def test_an_integer_of_another_form_is_refused(text):
    assert integer(block(text), 0)[1] == -1


@given(st.one_of(st.text(), st.integers(0, 10**17), st.booleans()))
def test_what_is_skipped_is_a_whole_value(value):
    text = json.dumps(value)
    after = skipped(block(text), 0)
    assert after == (-1 if "\\" in text or "\x7f" in text else len(text))


def test_words_and_truth():
    text = block("true,false,null")
    assert (truth(text, 0), truth(text, 5)) == ((1, 4), (0, 10))
    assert truth(text, 11)[1] == -1
    assert (word(text, 11, block("null")[:4]), word(text, 10, block("null")[:4])) == (15, -1)
