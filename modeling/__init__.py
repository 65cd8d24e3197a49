"""Walk-forward slices, networks, search, calibration, baselines and the compiled streaming runtime."""
