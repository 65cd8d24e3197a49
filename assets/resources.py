"""What assets are handed: the settings, the lake and the registry of one profile."""

from typing import Any

from config.settings import Settings
from storage.lake import Lake
from storage.registry import Registry


def resources_of(settings: Settings) -> dict[str, Any]:
    """Resources by the names that assets ask for."""
    return {"settings": settings, "lake": lake_of(settings), "registry": registry_of(settings)}


def lake_of(settings: Settings) -> Lake:
    """The lake of a profile: its folder, or the object store that it names."""
    return Lake(settings.lake_root, settings.paths.lake_cache)


def registry_of(settings: Settings) -> Registry:
    """The registry of a profile: its folder, or the server that it names."""
    return Registry(settings.paths.mlflow, settings.registry.url)
