"""The table in a Redis that the workers of several machines share.
Set `appendonly yes` there, or a power cut loses jobs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any

import redis

from .interface import Delivery, Job, Row, RowT, TableFault

PREFIX = "hn-segmenter:"
PASSWORD_VARIABLE = "HNSEG_REDIS_PASSWORD"
NAMES: dict[type, str] = {Job: "job", Delivery: "delivery"}
KINDS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float, "dict": json.loads}

# One script is one step for all clients. KEYS: the row, then sets of its name. ARGV: name, key, then as said.
ADD = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 5))
redis.call('SADD', ARGV[1] .. 'state:' .. ARGV[3], ARGV[2])
redis.call('SADD', ARGV[1] .. 'of:' .. ARGV[4], ARGV[2])
redis.call('SADD', ARGV[1] .. 'all', ARGV[2])
if redis.call('HEXISTS', KEYS[1], 'published') == 1 then redis.call('SADD', ARGV[1] .. 'unpublished', ARGV[2]) end
return 1
"""
MOVE = """
if redis.call('HGET', KEYS[1], 'state') ~= ARGV[3] then return 0 end
if ARGV[5] == '1' and redis.call('HGET', KEYS[1], 'owner') ~= ARGV[6] then return 0 end
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
redis.call('SREM', ARGV[1] .. 'state:' .. ARGV[3], ARGV[2])
redis.call('SADD', ARGV[1] .. 'state:' .. ARGV[4], ARGV[2])
if redis.call('HEXISTS', KEYS[1], 'published') == 1 then redis.call('SADD', ARGV[1] .. 'unpublished', ARGV[2]) end
return 1
"""
BEAT = """
local state = redis.call('HGET', KEYS[1], 'state')
if (state ~= 'segmenting' and state ~= 'sending') or redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'lease_until', ARGV[2])
return 1
"""
PUBLISHED = """
redis.call('HSET', KEYS[1], 'published', ARGV[3])
if redis.call('HGET', KEYS[1], 'updated') == ARGV[3] then redis.call('SREM', ARGV[1] .. 'unpublished', ARGV[2])
else redis.call('SADD', ARGV[1] .. 'unpublished', ARGV[2]) end
"""


def connection_pool(url: str) -> redis.ConnectionPool:
    """Of the Redis at that URL; its password, if any, comes from HNSEG_REDIS_PASSWORD."""
    password = os.environ.get(PASSWORD_VARIABLE)
    options = {"password": password} if password else {}
    return redis.ConnectionPool.from_url(url, socket_timeout=30, socket_connect_timeout=5, **options)


class RedisTable:
    """interface.Table in Redis, under keys that begin with hn-segmenter: and, for tables that are not the node's, with
    the name of their space."""

    def __init__(self, url: str, space: str = ""):
        self._prefix = f"{PREFIX}{space}:" if space else PREFIX
        self._redis = redis.Redis(connection_pool=connection_pool(url), decode_responses=False)
        scripts = {"add": ADD, "move": MOVE, "beat": BEAT, "published": PUBLISHED}
        self._scripts = {name: self._redis.register_script(text) for name, text in scripts.items()}
        self._do(self._redis.ping)

    def add(self, row: Row) -> bool:
        now = time.time()
        values = {**asdict(row), "created": now, "updated": now}
        group = row.node_id if isinstance(row, Job) else row.job
        arguments = [self._of(type(row)), row.key, str(row.state), group, *_flat(values)]
        return bool(self._run("add", type(row), row.key, arguments))

    def get(self, kind: type[RowT], key: str) -> RowT | None:
        return next(iter(self._read(kind, [key])), None)

    def rows(self, kind: type[RowT], states: Iterable[str] | None = None) -> list[RowT]:
        if states is None:
            return self._read(kind, self._members(kind, "all"))
        chosen = [str(state) for state in states]
        keys = [key for state in chosen for key in self._members(kind, f"state:{state}")]
        return [row for row in self._read(kind, keys) if row.state in chosen]

    def of_series(self, node_id: str) -> list[Job]:
        return self._read(Job, self._members(Job, f"of:{node_id}"))

    def deliveries(self, job: str) -> list[Delivery]:
        return self._read(Delivery, self._members(Delivery, f"of:{job}"))

    def move(self, kind: type[Row], key: str, before: str, after: str, by: str | None = None, **changes: Any) -> bool:
        values = _flat({**changes, "state": str(after), "updated": time.time()})
        arguments = [self._of(kind), key, str(before), str(after), "0" if by is None else "1", by or "", *values]
        return bool(self._run("move", kind, key, arguments))

    def beat(self, kind: type[Row], key: str, owner: str, lease_until: float) -> bool:
        return bool(self._run("beat", kind, key, [owner, repr(lease_until)]))

    def unpublished(self) -> list[Job]:
        return self._read(Job, self._members(Job, "unpublished"))

    def mark_published(self, job: Job) -> None:
        self._run("published", Job, job.key, [self._of(Job), job.key, repr(job.updated)])

    def close(self) -> None:
        self._redis.connection_pool.disconnect()

    def _of(self, kind: type) -> str:
        return f"{self._prefix}{NAMES[kind]}:"

    def _members(self, kind: type, name: str) -> list[str]:
        return [key.decode() for key in self._do(self._redis.smembers, self._of(kind) + name)]

    def _read(self, kind: type[RowT], keys: list[str]) -> list[RowT]:
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(self._of(kind) + key)
            found = self._do(pipeline.execute)
        return sorted((_row(kind, values) for values in found if values), key=lambda row: (row.created, row.key))

    def _run(self, script: str, kind: type[Row], key: str, arguments: list) -> Any:
        return self._do(self._scripts[script], [self._of(kind) + key], arguments)

    def _do(self, command: Callable, *arguments: Any) -> Any:
        try:
            return command(*arguments)
        except redis.AuthenticationError as error:
            raise TableFault(f"Redis refuses the password: set {PASSWORD_VARIABLE}.") from error
        except redis.RedisError as error:
            raise TableFault(
                f"The table in Redis cannot be used ({type(error).__name__}): is Redis running at the queue's address?"
            ) from error


def _flat(values: dict) -> list:
    """Field, value, field, value, ...: numbers in full precision, dictionaries as JSON."""
    flat = []
    for name, value in values.items():
        flat += [name, _stored(value)]
    return flat


def _stored(value) -> str:
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _row(kind: type[RowT], values: dict[bytes, bytes]) -> RowT:
    return kind(**{item.name: KINDS[str(item.type)](values[item.name.encode()].decode()) for item in fields(kind)})
