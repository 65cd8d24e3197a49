"""How kernels that neither make nor return an array are compiled: without counting references to those they are given.

Counting took three quarters of the time of a book. numba hands the option down to whatever a kernel calls, so a
callee that does make arrays says ``_nrt=True``.
"""

from typing import Any, Final

BORROWING: Final[dict[str, Any]] = {"cache": True, "_nrt": False}
UNCHECKED: Final[dict[str, Any]] = BORROWING | {"error_model": "numpy"}  # x / 0 is inf or NaN
