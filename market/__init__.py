"""The words everyone uses: events, instruments, clocks, books and costs."""
