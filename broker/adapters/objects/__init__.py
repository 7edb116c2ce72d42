"""Whose the objects are that OpenAI keeps: one SQLite file beside the keys, made of the log."""

from broker.adapters.objects.owners import SqliteObjectOwners
from broker.adapters.objects.store import ObjectsFile, OwnerRow
from broker.adapters.objects.upkeep import RetentionBounds, Upkeep, replay

NAME = "objects.sqlite"

__all__ = ["NAME", "ObjectsFile", "OwnerRow", "RetentionBounds", "SqliteObjectOwners", "Upkeep", "replay"]
