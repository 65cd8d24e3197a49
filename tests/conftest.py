"""Settings of every test: properties without a deadline, kernels cached where the program caches them."""

import hypothesis

import market  # noqa: F401  (points numba at its cache before a test imports a kernel)

hypothesis.settings.register_profile("tickloop", deadline=None, max_examples=50)
hypothesis.settings.load_profile("tickloop")
