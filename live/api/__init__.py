"""The floor over HTTP and WebSocket, on loopback: what stands, what was decided and why, and three guarded doors."""

from live.api.access import Access
from live.api.application import api

__all__ = ["Access", "api"]
