"""The words everyone uses: events, instruments, clocks, books and costs."""

from market.kernel_cache import use_kernel_cache

use_kernel_cache()
