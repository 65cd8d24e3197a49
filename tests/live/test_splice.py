"""Two lines joined: what the old one brought is not repeated, what only the new one brought is not lost."""

from hypothesis import given
from hypothesis import strategies as st

from live.connectors.splice import Splice


def message(number: int, stream: str = "a") -> bytes:
    return b'{"stream":"%s","data":%d}' % (stream.encode(), number)


def released(splice: Splice) -> list[bytes]:
    found: list[bytes] = []
    splice.release(lambda data, depth: found.append(data))
    return found


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 30), st.randoms())
def test_every_message_comes_once_however_the_lines_overlap(begin: int, ahead: int, shared: int, random) -> None:
    splice, delivered = Splice(), []
    old, new = list(range(begin + shared)), list(range(begin, begin + shared + ahead))
    while old or new:
        if old and (not new or random.random() < 0.5):
            delivered.append(message(old.pop(0)))
            splice.hear_old(delivered[-1])
        else:
            splice.hear_new(message(new.pop(0)), False)
    assert not splice.torn
    assert delivered + released(splice) == [message(number) for number in range(begin + shared + ahead)]


def test_streams_are_joined_each_by_itself() -> None:
    splice = Splice()
    splice.hear_old(message(1, "a"))
    splice.hear_new(message(1, "a"), False)
    splice.hear_new(message(5, "b"), True)
    assert not splice.torn
    assert released(splice) == [message(5, "b")]


def test_lines_that_never_say_the_same_are_torn() -> None:
    splice = Splice()
    splice.hear_old(message(1))
    splice.hear_new(message(3), False)
    assert splice.torn


def test_a_first_snapshot_of_the_new_line_is_dropped_where_the_lines_meet_behind_it() -> None:
    splice = Splice()
    for number in (7, 8):
        splice.hear_old(message(number))
    splice.hear_new(message(-1), True)  # the whole book, which only the new line was sent
    splice.hear_new(message(8), True)
    splice.hear_new(message(9), True)
    assert (splice.torn, released(splice)) == (False, [message(9)])
