"""One module per venue: sockets and subscriptions; what the bytes mean is known in ``market.sources``."""
