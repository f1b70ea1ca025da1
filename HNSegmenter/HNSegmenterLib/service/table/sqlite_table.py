"""The table in one SQLite file, for workers of one machine."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .interface import Delivery, Job, Row, RowT, TableFault

TYPES = {"str": "TEXT", "int": "INTEGER", "float": "REAL", "dict": "TEXT"}
NAMES = {Job: "job", Delivery: "delivery"}
WAIT_S = 30.0  # for another process's write


class SqliteTable:
    """interface.Table in a file; usable from several threads and processes, not over a network drive."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise TableFault(
                f"The table {path} cannot be opened ({error}): check worker.folder and its permissions."
            ) from error
        self._connection.row_factory = sqlite3.Row
        with self._transaction() as run:
            for kind, name in NAMES.items():
                columns = ", ".join(f"{item.name} {TYPES[str(item.type)]} NOT NULL" for item in fields(kind))
                run(f"CREATE TABLE IF NOT EXISTS {name} (key TEXT PRIMARY KEY, {columns})")
                run(f"CREATE INDEX IF NOT EXISTS {name}_state ON {name} (state)")
            run("CREATE INDEX IF NOT EXISTS job_node_id ON job (node_id)")
            run("CREATE INDEX IF NOT EXISTS delivery_job ON delivery (job)")
        path.chmod(0o600)

    def add(self, row: Row) -> bool:
        now = time.time()
        values = {"key": row.key, **_stored(asdict(row)), "created": now, "updated": now}
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        with self._transaction() as run:
            return run(f"INSERT OR IGNORE INTO {NAMES[type(row)]} ({columns}) VALUES ({marks})", values).rowcount == 1

    def get(self, kind: type[RowT], key: str) -> RowT | None:
        return next(iter(self._select(kind, "key = ?", [key])), None)

    def rows(self, kind: type[RowT], states: Iterable[str] | None = None) -> list[RowT]:
        if states is None:
            return self._select(kind, "1", [])
        chosen = [str(state) for state in states]
        return self._select(kind, f"state IN ({', '.join('?' * len(chosen))})", chosen)

    def of_series(self, node_id: str) -> list[Job]:
        return self._select(Job, "node_id = ?", [node_id])

    def deliveries(self, job: str) -> list[Delivery]:
        return self._select(Delivery, "job = ?", [job])

    def move(self, kind: type[Row], key: str, before: str, after: str, by: str | None = None, **changes: Any) -> bool:
        values = _stored({**changes, "state": str(after), "updated": time.time()})
        assignments = ", ".join(f"{name} = ?" for name in values)
        arguments = [*values.values(), key, str(before)]
        condition = "key = ? AND state = ?"
        if by is not None:
            condition += " AND owner = ?"
            arguments.append(by)
        with self._transaction() as run:
            return run(f"UPDATE {NAMES[kind]} SET {assignments} WHERE {condition}", arguments).rowcount == 1

    def beat(self, kind: type[Row], key: str, owner: str, lease_until: float) -> bool:
        condition = "key = ? AND owner = ? AND state IN ('segmenting', 'sending')"
        with self._transaction() as run:
            return (
                run(f"UPDATE {NAMES[kind]} SET lease_until = ? WHERE {condition}", [lease_until, key, owner]).rowcount
                == 1
            )

    def unpublished(self) -> list[Job]:
        return self._select(Job, "published <> updated", [])

    def mark_published(self, job: Job) -> None:
        with self._transaction() as run:
            run("UPDATE job SET published = ? WHERE key = ?", [job.updated, job.key])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _select(self, kind: type[RowT], condition: str, arguments: list) -> list[RowT]:
        with self._transaction() as run:
            found = run(f"SELECT * FROM {NAMES[kind]} WHERE {condition} ORDER BY created, key", arguments).fetchall()
        return [_row(kind, values) for values in found]

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection.execute
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise TableFault(f"The table {self._path} cannot be used ({error}): is its disk full?") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")


def _stored(values: dict) -> dict:
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        for name, value in values.items()
    }


def _row(kind: type[RowT], values: sqlite3.Row) -> RowT:
    return kind(
        **{
            item.name: json.loads(values[item.name]) if item.type == "dict" else values[item.name]
            for item in fields(kind)
        }
    )
