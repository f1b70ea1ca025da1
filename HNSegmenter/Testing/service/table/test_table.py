"""The table of jobs: one behaviour in SQLite and in Redis, from several threads and processes."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from Testing.service.fixtures import redis_url

pytest.importorskip("huey")
from HNSegmenterLib.service.settings import Worker
from HNSegmenterLib.service.table.interface import (
    Delivery,
    Job,
    Sending,
    State,
    TableFault,
    digest_of,
    due,
    expired,
    job_id,
)
from HNSegmenterLib.service.table.opening import open_table


@pytest.fixture(params=["sqlite", "redis"])
def worker(request, tmp_path):
    """Settings of a worker with that back end, an empty one."""
    queue = "sqlite" if request.param == "sqlite" else request.getfixturevalue("redis_url")
    return Worker(folder=tmp_path / "worker", queue=queue)


@pytest.fixture
def table(worker):
    table = open_table(worker)
    yield table
    table.close()


def job(series: str = "1.2.3", node_id: str = "aaaa", model: str = "m1") -> Job:
    digest = digest_of([f"{series}.1", f"{series}.2"])
    return Job(job_id(node_id, digest, model), node_id, series, digest, model)


def delivery(destination: str = "PLAN", job: str = "j1") -> Delivery:
    return Delivery(job, destination, "reviewed", "1.2.3.4", "Dr. Test", "2026-01-01T12:00:00+00:00")


def test_a_series_and_model_is_there_once(table):
    assert table.add(job())
    assert not table.add(job())
    assert table.add(job(model="m2")) and table.add(job(node_id="bbbb"))
    assert [row.model for row in table.of_series("aaaa")] == ["m1", "m2"]
    assert len(table.rows(Job)) == 3


def test_the_order_of_instances_does_not_matter_but_their_number_does():
    assert digest_of(["1.2", "1.3"]) == digest_of(["1.3", "1.2"]) != digest_of(["1.2", "1.3", "1.4"])


def test_a_row_comes_back_as_it_went_in(table):
    summary = {"model": {"name": "m"}, "warnings": ["„ä“ 'x' \"y\""], "organs": [{"volume_ml": 1.5}]}
    sent = replace(job(), reason="because", attempts=3, next_try_at=1764000000.123456, summary=summary)
    before = time.time()
    assert table.add(sent)
    got = table.get(Job, sent.id)
    assert before <= got.created == got.updated <= time.time()
    assert got == replace(sent, created=got.created, updated=got.updated)
    assert table.get(Job, "nothing") is None
    assert table.add(delivery())
    assert table.deliveries("j1")[0].review_time == delivery().review_time


def test_a_move_is_made_once_and_only_from_the_state_that_it_names(table):
    row = job()
    table.add(row)
    assert not table.move(Job, row.id, State.WAITING, State.SENT)
    assert table.move(Job, row.id, State.QUEUED, State.SEGMENTING, attempts=1)
    assert not table.move(Job, row.id, State.QUEUED, State.SEGMENTING)
    got = table.get(Job, row.id)
    assert (got.state, got.attempts) == (State.SEGMENTING, 1) and got.updated > got.created
    assert not table.move(Job, "nothing", State.QUEUED, State.HELD)
    assert table.rows(Job, [State.QUEUED]) == [] and table.rows(Job, [State.SEGMENTING, State.HELD]) == [got]


def test_only_its_owner_ends_and_prolongs_what_it_works_on(table):
    row = job()
    table.add(row)
    table.add(delivery())
    for kind, key, before, during, after in (
        (Job, row.id, State.QUEUED, State.SEGMENTING, State.WAITING),
        (Delivery, delivery().key, Sending.PENDING, Sending.SENDING, Sending.SENT),
    ):
        assert not table.beat(kind, key, "me", 30.0), "nobody works on it"
        assert table.move(kind, key, before, during, owner="me", lease_until=20.0)
        assert table.beat(kind, key, "me", 30.0) and not table.beat(kind, key, "other", 40.0)
        assert table.get(kind, key).lease_until == 30.0
        assert not table.move(kind, key, during, after, by="other")
        assert table.move(kind, key, during, after, by="me", owner="")
        assert not table.beat(kind, key, "me", 50.0), "it is done"


def test_claims_from_many_threads_have_one_winner(worker):
    tables = [open_table(worker) for _ in range(4)]
    row = job()
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda n: tables[n % 4].add(row), range(16)))
        won = list(
            pool.map(lambda n: tables[n % 4].move(Job, row.id, State.QUEUED, State.SEGMENTING, attempts=n), range(16))
        )
    assert sum(added) == sum(won) == 1
    assert tables[0].get(Job, row.id).attempts == won.index(True)
    for table in tables:
        table.close()


CLAIM = """
import sys
from pathlib import Path
from HNSegmenterLib.service.settings import Worker
from HNSegmenterLib.service.table.interface import Job
from HNSegmenterLib.service.table.opening import open_table
table = open_table(Worker(folder=Path(sys.argv[1]), queue=sys.argv[2]))
print(sum(table.move(Job, row.id, "queued", "segmenting") for row in table.rows(Job)))
"""


def test_claims_from_several_processes_have_one_winner_each(worker, table):
    for n in range(60):
        table.add(job(f"1.2.{n}", node_id=f"n{n}"))
    command = [sys.executable, "-c", CLAIM, str(worker.folder), worker.queue]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    claimed = [int(process.communicate()[0]) for process in processes]
    assert sum(claimed) == 60


def test_what_is_due_and_what_has_expired(table):
    for n, moment in enumerate((0.0, 50.0, 150.0)):
        table.add(replace(job(f"1.{n}", f"n{n}"), next_try_at=moment))
    assert [row.node_id for row in due(table, Job, 100.0)] == ["n0", "n1"]
    table.move(Job, job("1.0", "n0").id, State.QUEUED, State.SEGMENTING, lease_until=60.0)
    table.add(delivery())
    assert due(table, Delivery, 0.0) == table.deliveries("j1")
    table.move(Delivery, delivery().key, Sending.PENDING, Sending.SENDING, lease_until=90.0)
    assert expired(table, 50.0) == []
    assert [type(row) for row in expired(table, 90.0)] == [Job, Delivery]


def test_every_change_of_a_job_is_to_be_published(table):
    row = job()
    table.add(row)
    (first,) = table.unpublished()
    table.mark_published(first)
    assert table.unpublished() == []
    table.move(Job, row.id, State.QUEUED, State.HELD, reason="gap")
    (second,) = table.unpublished()
    assert second.reason == "gap"
    table.mark_published(first)  # the older version was written last: not done yet
    assert len(table.unpublished()) == 1
    table.mark_published(second)
    assert table.unpublished() == []
    table.add(delivery())
    assert table.unpublished() == []


def test_all_is_kept_when_the_worker_ends(worker):
    first = open_table(worker)
    first.add(job())
    first.close()
    second = open_table(worker)
    assert len(second.rows(Job)) == 1
    second.close()


def test_a_table_that_cannot_be_used_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TableFault, match=r"worker.folder"):
        open_table(Worker(folder=tmp_path / "file", queue="sqlite"))
    with pytest.raises(TableFault, match="is Redis running"):
        open_table(Worker(folder=tmp_path, queue="redis://127.0.0.1:1/0"))
