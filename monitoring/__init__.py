"""Drift, decay and parity, as pure functions of frames."""
