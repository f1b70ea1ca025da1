"""Which of the tables the settings ask for."""

from __future__ import annotations

from ...errors import WrongUsage
from ..settings import Worker
from .interface import Table


def open_table(settings: Worker, space: str = "") -> Table:
    """The table that worker.queue asks for. space: names one in a Redis that is not the node's.

    Raises TableFault, or WrongUsage where the package redis is missing."""
    if settings.queue == "sqlite":
        from .sqlite_table import SqliteTable

        return SqliteTable(settings.folder / "jobs.db")
    try:
        from .redis_table import RedisTable
    except ImportError as error:
        raise WrongUsage(
            "A queue in Redis needs the Python package redis: run  pip install 'hn-segmenter[redis]'"
        ) from error
    return RedisTable(settings.queue, space)
