"""Twenty patients at once, on two workers that share a queue, and that nothing of any of them is in logs, queue,
table or audit."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import zip_longest
from pathlib import Path

import pydicom
import pytest
import redis

from Testing.phantoms import edit
from Testing.service.fixtures import make_node, redis_url
from Testing.service.serving import QUICK, Look, arrived, identity, look, serve, write_head

PATIENTS = 20
SLICES, RULES = slice(40, 66), {"minimum_slices": 20, "minimum_coverage_mm": 100}
TWICE, GAP, GROWING = range(1, 5), range(5, 9), range(9, 13)
BROKEN = 13  # one of its images says nothing of its rescale: found when it is read


def interleaved(series: list[list[Path]]) -> list[Path]:
    """One slice of each in turn, each series in an order of its own."""
    shuffled = [random.Random(n).sample(files, len(files)) for n, files in enumerate(series)]
    return [file for row in zip_longest(*shuffled) for file in row if file is not None]


@pytest.mark.parametrize(("queue", "count"), [("sqlite", PATIENTS), ("redis", 14)])
def test_many_patients_at_once(queue, count, make_node, serve, look, tmp_path, request):
    """With two workers at one queue."""
    url = "sqlite" if queue == "sqlite" else request.getfixturevalue("redis_url")
    # Slices of twenty series in turn: no series may seem complete between two of its own.
    node = make_node(node={"stable_age_s": 6}, rules=RULES, worker={**QUICK, "queue": url, "lease_s": 60.0})
    patients = {
        n: write_head(tmp_path / f"SECRETFOLDER{n:03d}", n, SLICES, BodyPartExamined="HEADNECK")
        for n in range(1, count + 1)
    }
    edit(patients[BROKEN][7], RescaleSlope=None)
    uids = {n: str(pydicom.dcmread(files[0]).SeriesInstanceUID) for n, files in patients.items()}
    table = look(node)
    workers = [serve(node.config, name) for name in ("first", "second")]

    at_once = {
        n: files[:10] + files[11:] if n in GAP else files[:22] if n in GROWING else files
        for n, files in patients.items()
    }
    arrived(node, interleaved(list(at_once.values())))
    arrived(node, interleaved([patients[n] for n in TWICE]))
    table.until(lambda: len({job.series_uid for job in table.jobs()}) == count, workers[0])
    arrived(node, interleaved([patients[n][22:] for n in GROWING]))
    table.until(lambda: all(grown(table, uids[n]) for n in GROWING), workers[0])
    jobs = table.until_settled(count + len(GROWING), workers[0], 400)

    by_patient = {n: [job for job in jobs if job.series_uid == uid] for n, uid in uids.items()}
    for n, own in by_patient.items():
        states = [str(job.state) for job in own]
        if n in GAP:
            assert states == ["held"] and "missing" in own[0].reason and own[0].attempts == 0
        elif n == BROKEN:
            assert states == ["held"] and "Rescale Slope" in own[0].reason
        elif n in GROWING:
            assert states == ["superseded", "waiting"] and own[0].superseded_by == own[1].id
        else:
            assert states == ["waiting"] and own[0].attempts == 1, own
    began = Counter(line["job"] for line in audit(node) if line.get("state") == "segmenting")
    assert set(began.values()) == {1}, "no series was segmented twice"
    assert all("state=segmenting" in worker.log.read_text() for worker in workers), "both worked"
    for job in (job for job in jobs if job.state == "waiting"):
        assert sorted(node.get(f"/series/{job.node_id}/attachments").json()) == ["4200", "4201"]
    for worker in workers:
        assert worker.stop() == 0
    _nothing_of_a_patient(node, url, [worker.log for worker in workers])


def grown(table: Look, uid: str) -> bool:
    return sum(job.series_uid == uid for job in table.jobs()) == 2


def audit(node) -> list[dict]:
    lines = (node.config.parent / "worker" / "audit.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def _nothing_of_a_patient(node, url: str, logs: list[Path]) -> None:
    """Grep the bytes of all that the workers wrote."""
    written = {path: path.read_bytes() for path in (node.config.parent / "worker").rglob("*") if path.is_file()}
    written |= {log: log.read_bytes() for log in logs}
    names = {path.name for path in written}
    assert {"audit.jsonl", "first.log", "second.log"} <= names
    if url == "sqlite":
        for name in ("jobs.db", "queue.db"):
            assert name in names
            with closing(sqlite3.connect(node.config.parent / "worker" / name)) as database:
                written[Path(f"{name}.dump")] = "\n".join(database.iterdump()).encode()
        assert b"INSERT INTO" in written[Path("jobs.db.dump")]
    else:
        written[Path("redis.dump")] = _redis_dump(url)
        assert b"hn-segmenter:job:" in written[Path("redis.dump")]
    secrets = {value for n in range(1, PATIENTS + 1) for value in identity(n).values()} | {"SECRETFOLDER", "Secretname"}
    alone = re.compile("|".join(map(re.escape, secrets)).encode(), re.IGNORECASE)
    for path, content in written.items():
        assert not (found := alone.search(content)), (path, found)


def _redis_dump(url: str) -> bytes:
    """All keys and values."""
    client = redis.Redis.from_url(url)
    read = {
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
    }
    read[b"zset"] = lambda key: client.zrange(key, 0, -1)
    return b"\n".join(key + repr(read[client.type(key)](key)).encode() for key in client.scan_iter())
