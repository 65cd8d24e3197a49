"""Order entry and acknowledgement legs. The feed leg is in the tape, the inference leg in ``sent_ts``."""

from numba import njit


@njit(cache=True)
def arrival(sent_ts, entry_ns):
    """When the matching engine can first meet what was sent, ns."""
    return sent_ts + entry_ns


@njit(cache=True)
def visible(venue_ts, ack_ns, cause_ts):
    """When a report can be known: after the acknowledgement leg, and not before the event that caused it was received.

    ``cause_ts`` is that event's ingest_ts, 0 where no event caused the report.
    """
    return max(venue_ts + ack_ns, cause_ts)
