"""What the person who waits is shown of a run: its steps and what they say; details stay in the run's log."""

import dagster as dg

from orchestration.progress import Underway, step_logger
from storage.progress import LastLine
from tests.builders_terminal import Terminal, Ticking


@dg.op
def counted(context: dg.OpExecutionContext) -> None:
    context.log.debug("epoch 1: 0.7 nats")
    context.log.debug("a table:\n| 1 |\n| 2 |")
    context.log.info("member 1: 0.7 nats after epoch 1 of 1")


def test_the_screen_shows_what_is_said_and_not_the_details_which_the_log_keeps() -> None:
    lines, passing = list[str](), list[str]()

    @dg.job(logger_defs={"steps": step_logger(lines.append, passing.append)})
    def fitting() -> None:
        counted()

    with dg.DagsterInstance.ephemeral() as instance:
        done = fitting.execute_in_process(instance=instance, run_config={"loggers": {"steps": {}}})
        kept = [entry.user_message for entry in instance.all_logs(done.run_id)]
    assert lines[0] == "    member 1: 0.7 nats after epoch 1 of 1"
    assert lines[1].startswith("  counted ")
    assert len(lines) == 2
    assert "epoch 1: 0.7 nats" in kept
    assert "epoch 1: 0.7 nats" in passing
    assert "a table:" in passing
    assert not any("\n" in text for text in passing)
    assert not set(passing) & set(lines)


def test_the_rest_takes_as_long_as_the_parts_that_were_not_up_to_date() -> None:
    terminal, made = Terminal(), list[str]()
    underway = Underway(LastLine(terminal), Ticking(10.0))
    for part in underway.each("slice", ("reused", "made", "made"), made.__len__):
        made += [part] if part == "made" else []
    assert terminal.told == ["slice 1 of 3", "slice 2 of 3", "slice 3 of 3, about 10 s to go"]


def test_a_line_above_leaves_the_last_one_where_it_was() -> None:
    terminal = Terminal()
    underway = Underway(LastLine(terminal))
    tell = underway.above(lambda line: terminal.write(f"\n{line}\n"))
    for _ in underway.each("slice", ("one",), lambda: 0):
        underway.say("epoch 1 of 2")
        tell("done")
    told = [line for line in terminal.getvalue().replace("\r\x1b[K", "\n").splitlines() if line]
    assert told == ["slice 1 of 1", "slice 1 of 1; epoch 1 of 2", "done", "slice 1 of 1; epoch 1 of 2"]
