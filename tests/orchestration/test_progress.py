"""What the person who waits is shown of a run: its steps and what they say; details stay in the run's log."""

import dagster as dg

from orchestration.progress import step_logger


@dg.op
def counted(context: dg.OpExecutionContext) -> None:
    context.log.debug("epoch 1: 0.7 nats")
    context.log.info("member 1: 0.7 nats after epoch 1 of 1")


def test_the_screen_shows_what_is_said_and_not_the_details_which_the_log_keeps() -> None:
    lines = list[str]()

    @dg.job(logger_defs={"steps": step_logger(lines.append)})
    def fitting() -> None:
        counted()

    with dg.DagsterInstance.ephemeral() as instance:
        done = fitting.execute_in_process(instance=instance, run_config={"loggers": {"steps": {}}})
        kept = [entry.user_message for entry in instance.all_logs(done.run_id)]
    assert lines[0] == "    member 1: 0.7 nats after epoch 1 of 1"
    assert lines[1].startswith("  counted ")
    assert len(lines) == 2
    assert "epoch 1: 0.7 nats" in kept
