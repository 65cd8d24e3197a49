"""A process that ends with the one that started it, however that one ends."""

import os
import signal
import sys
import threading


def end_with_starter() -> None:
    """Ask this process to end (SIGTERM) once its standard input is closed, which a dead starter's end does as well."""
    threading.Thread(target=_wait, daemon=True, name="tether").start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 4_096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
