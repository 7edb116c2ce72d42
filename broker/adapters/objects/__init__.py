"""Whose the objects are that OpenAI keeps: one SQLite file beside the keys, made of the log."""

from broker.adapters.objects.owners import SqliteObjectOwners
from broker.adapters.objects.store import ObjectsFile, Row
from broker.adapters.objects.upkeep import Bounds, Upkeep, replay

NAME = "objects.sqlite"

__all__ = ["NAME", "Bounds", "ObjectsFile", "Row", "SqliteObjectOwners", "Upkeep", "replay"]
