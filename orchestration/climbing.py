"""The live room's parity ladder as a resource of the assets, which never import that room."""

from typing import TYPE_CHECKING

from config.settings import Settings

if TYPE_CHECKING:
    from live.ladder import Ladder


class JournalClimber:
    """Climbs the ladder on the journal of a symbol's runner."""

    def climb(self, settings: Settings, symbol: str) -> "Ladder":
        """All levels. Raises JournalError as ``live.ladder.climb``."""
        from live.ladder import climb  # the replay loads every kernel

        return climb(settings, settings.paths.journal(symbol), settings.paths.live_bundles(symbol))
