"""What assets are handed: the settings, the lake and the registry of one profile."""

from typing import Any

from config.settings import Settings
from storage.lake import Lake
from storage.registry import Registry


def resources_of(settings: Settings) -> dict[str, Any]:
    """Resources by the names that assets ask for."""
    return {"settings": settings, "lake": Lake(settings.paths.lake), "registry": Registry(settings.paths.mlflow)}
