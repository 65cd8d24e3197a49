"""What starts by the clock, all UTC; stopped by default in dev, running in prod."""

from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from assets.captures import capture_dates
from assets.partitions import WHOLE, Part, day_key, symbols
from assets.registered_model import ALL
from assets.tables import passed
from config.settings import Settings
from orchestration import jobs
from orchestration.switches import schedule_status
from storage.journal import segments
from storage.lake import Lake


def daily_data(settings: Settings) -> dg.ScheduleDefinition:
    """Yesterday's partition of every symbol that has a capture of it."""

    @dg.schedule(
        cron_schedule=settings.orchestration.data_cron,
        job=jobs.data,
        execution_timezone="UTC",
        default_status=schedule_status(settings),
    )
    def daily_data(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        yesterday = str((context.scheduled_execution_time - timedelta(days=1)).date())
        there = [symbol for symbol in settings.data.symbols if yesterday in capture_dates(settings, symbol)]
        if not there:
            yield dg.SkipReason(f"no capture of {yesterday} for {', '.join(settings.data.symbols)}")
            return
        context.instance.add_dynamic_partitions(symbols.name, there)
        for symbol in there:
            yield dg.RunRequest(run_key=f"daily|{yesterday}|{symbol}", partition_key=day_key(Part(symbol, yesterday)))

    return daily_data


def weekly_slices(settings: Settings) -> dg.ScheduleDefinition:
    """The walk-forward slices of every symbol; the sensor on new slices trains what is new."""

    @dg.schedule(
        cron_schedule=settings.orchestration.walk_forward_cron,
        job=jobs.slices,
        execution_timezone="UTC",
        default_status=schedule_status(settings),
    )
    def weekly_slices(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
        context.instance.add_dynamic_partitions(symbols.name, list(settings.data.symbols))
        day = context.scheduled_execution_time.date()
        for symbol in settings.data.symbols:
            yield dg.RunRequest(run_key=f"slices|{day}|{symbol}", partition_key=symbol)

    return weekly_slices


def monitors(settings: Settings) -> dg.ScheduleDefinition:
    """Every monitor of the live symbol, where it has a journal and a champion to be held against."""

    @dg.schedule(
        cron_schedule=settings.orchestration.monitoring_cron,
        job=jobs.monitoring,
        execution_timezone="UTC",
        default_status=schedule_status(settings),
    )
    def monitors(context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake]) -> dg.RunRequest | dg.SkipReason:
        for table, part in (("live_journal", Part(settings.live.symbol, WHOLE)), ("registered_model", ALL)):
            if passed(lake, table, part) is None:
                return dg.SkipReason(f"no {table} of {part.symbol} that passed its checks: nothing to compare")
        return dg.RunRequest(run_key=f"monitoring|{context.scheduled_execution_time.isoformat()}")

    return monitors


def daily_parity(settings: Settings) -> dg.ScheduleDefinition:
    """Three o'clock: the live symbol's journal against its backtest, where there is one."""

    @dg.schedule(
        cron_schedule="0 3 * * *",
        job=jobs.ladder,
        execution_timezone="UTC",
        default_status=schedule_status(settings),
    )
    def daily_parity(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        symbol, day = settings.live.symbol, context.scheduled_execution_time.date()
        if not segments(settings.paths.journal(symbol)):
            return dg.SkipReason(f"the runner of {symbol} has left no journal")
        return dg.RunRequest(run_key=f"parity|{day}|{symbol}")

    return daily_parity


def daily_ab(settings: Settings) -> dg.ScheduleDefinition:
    """Four o'clock: the live symbol's challenger against its champion, where the journal holds both."""

    @dg.schedule(
        cron_schedule="0 4 * * *",
        job=jobs.contest,
        execution_timezone="UTC",
        default_status=schedule_status(settings),
    )
    def daily_ab(context: dg.ScheduleEvaluationContext, lake: dg.ResourceParam[Lake]) -> dg.RunRequest | dg.SkipReason:
        symbol, day = settings.live.symbol, context.scheduled_execution_time.date()
        if not settings.live.challenger:
            return dg.SkipReason("live.challenger is off: the runner has no desk for one")
        journal = passed(lake, "live_journal", Part(symbol, WHOLE))
        if journal is None:
            return dg.SkipReason(f"no live_journal of {symbol} that passed its checks: nothing to compare")
        if not journal.metadata["running_sha"] or not journal.metadata["challenger_sha"]:
            return dg.SkipReason(f"the journal of {symbol} does not hold a model at both desks")
        return dg.RunRequest(run_key=f"ab|{day}|{symbol}")

    return daily_ab
