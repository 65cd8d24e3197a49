"""The runner and what it talks to: feed, venue, journal, deployment, pages."""
