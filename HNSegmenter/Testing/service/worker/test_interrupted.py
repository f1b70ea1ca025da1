"""Workers killed in every state, a node that is restarted, a planning system that is down, disks that are full: the
service goes on by itself, loses nothing, and sends again what it sent with the same UID."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib.cli.main import main
from Testing.machine import require, wait_for
from Testing.service.fixtures import make_node, planning_system
from Testing.service.serving import QUICK, arrived, look, serve, write_head

REVIEWER = "Reviewer^Test"


@pytest.fixture
def node(make_node, planning_system):
    return make_node(planning_port=planning_system.port, worker=QUICK)


def approve(node, job, folder: Path) -> None:
    """As a script of the hospital does it."""
    options = ["--config", str(node.config)]
    assert main(["inbox", "fetch", job.node_id, "--out", str(folder), *options]) == 0
    command = [
        "inbox",
        "approve",
        job.node_id,
        "--reviewer",
        REVIEWER,
        "--rtstruct",
        str(folder / "results" / "rtstruct.dcm"),
    ]
    assert main([*command, *options]) == 0


def images_on_disk(node) -> list[Path]:
    """The patients' CTs in the worker's folder."""
    return [path for path in (node.config.parent / "worker" / "jobs").rglob("*") if path.suffix in (".dcm", ".nii")]


def test_a_worker_killed_in_any_state_loses_nothing(node, planning_system, serve, look, tmp_path):
    for number in range(3):
        arrived(node, write_head(tmp_path / str(number), number))
    wait_for(lambda: [node.get(f"/series/{series}").json()["IsStable"] for series in node.series()] == [True] * 3, 60)
    table = look(node)  # all three wait when the worker comes
    first = serve(node.config, "first")
    table.until(lambda: sorted(table.states()) == ["queued", "queued", "segmenting"] and images_on_disk(node), first)
    first.kill()

    second = serve(node.config, "second")
    jobs = table.until_settled(3, second)
    assert [job.state for job in jobs] == ["waiting"] * 3
    assert sorted(job.attempts for job in jobs) == [1, 1, 2]
    assert not images_on_disk(node), "what the killed worker left was removed by the next one"
    second.kill()

    approve(node, jobs[0], tmp_path / "review")  # while no worker lives
    planning_system._process.send_signal(signal.SIGSTOP)  # it takes the connection and never answers
    third = serve(node.config, "third")
    table.until(lambda: [row.state for row in table.deliveries()] == ["sending"], third)
    assert table.states().count("sending") == 1
    third.kill()
    planning_system._process.send_signal(signal.SIGCONT)

    fourth = serve(node.config, "fourth")
    table.until(lambda: table.states().count("sent") == 1, fourth)
    (delivery,) = table.deliveries()
    assert delivery.attempts == 2 and delivery.state == "sent"
    fourth.kill()

    count = len(planning_system.received())
    uids = {str(pydicom.dcmread(path).SOPInstanceUID) for path in planning_system.received()}
    assert uids == {delivery.sop_instance_uid}
    before = [(job.id, job.state, job.updated) for job in table.jobs()]
    fifth = serve(node.config, "fifth")
    arrived(node, write_head(tmp_path / "last", 9))
    after = [(job.id, job.state, job.updated) for job in table.until_settled(4, fifth)]
    assert after[:3] == before, "what has ended stays as it is"
    assert len(planning_system.received()) == count


def test_a_job_that_kills_its_worker_each_time_fails_in_the_end(make_node, serve, look, tmp_path):
    node = make_node(worker={**QUICK, "attempts": 2, "lease_s": 1.0})
    arrived(node, write_head(tmp_path / "a"))
    table = look(node)
    for attempt in (1, 2):
        worker = serve(node.config, f"worker{attempt}")
        table.until(
            lambda attempt=attempt: [(job.state, job.attempts) for job in table.jobs()] == [("segmenting", attempt)],
            worker,
        )
        worker.kill()
    third = serve(node.config, "third")
    (job,) = table.until_settled(1, third)
    assert job.state == "failed" and "2 times" in job.reason


def test_a_node_that_is_killed_and_started_again(node, serve, look, tmp_path):
    worker, table = serve(node.config), look(node)
    arrived(node, write_head(tmp_path / "a", 1))
    node.kill()  # before it told that the series is stable: it never will
    node.start()
    table.until(lambda: table.states() == ["segmenting"], worker)
    node.kill()
    table.until(lambda: table.states() != ["segmenting"], worker)
    (job,) = table.jobs()
    assert job.state == "queued" and "is Orthanc running" in job.reason
    node.start()
    arrived(node, write_head(tmp_path / "b", 2))
    jobs = table.until_settled(2, worker)
    assert [row.state for row in jobs] == ["waiting", "waiting"]


def test_a_planning_system_that_is_down_gets_its_set_when_it_is_back(node, planning_system, serve, look, tmp_path):
    arrived(node, write_head(tmp_path / "a"))
    worker, table = serve(node.config), look(node)
    (job,) = table.until_settled(1, worker)
    planning_system.stop()
    approve(node, job, tmp_path / "review")
    table.until(lambda: [row.attempts >= 2 and "MONACO" in row.reason for row in table.deliveries()] == [True], worker)
    assert table.states() == ["sending"]
    planning_system.start()
    table.until(lambda: table.states() == ["sent"], worker)
    assert [str(pydicom.dcmread(path).SOPInstanceUID) for path in planning_system.received()] == [
        table.deliveries()[0].sop_instance_uid
    ]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of that size at the folder. What is on it is lost at the end."""
    require(os.geteuid() == 0, "the right to mount a small disk (root)")
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    require(mounted.returncode == 0, "the right to mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path, leave: int = 0) -> Path:
    """Fill the folder's disk but for some bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            pass
    os.truncate(filler, max(filler.stat().st_size - leave, 0))
    return filler


@pytest.mark.parametrize("leave", [0, 600_000], ids=["nothing can be written", "the job has no room"])
def test_a_full_disk_of_the_worker(make_node, serve, look, tmp_path, leave):
    with small_disk(tmp_path / "disk", 40):
        node = make_node(worker={**QUICK, "folder": str(tmp_path / "disk")})
        worker, table = serve(node.config), look(node)
        table.jobs()
        filler = fill(tmp_path / "disk", leave)
        arrived(node, write_head(tmp_path / "a"))
        if leave:
            table.until(lambda: [bool(job.reason) for job in table.jobs()] == [True], worker)
            assert "disk is too full" in table.jobs()[0].reason
        else:
            table.until(lambda: "is its disk full?" in worker.log.read_text(), worker)
        filler.unlink()
        (job,) = table.until_settled(1, worker)
        assert job.state == "waiting"
        audit = (tmp_path / "disk" / "audit.jsonl").read_text()
        assert audit.count('"added"') == 1 and '"waiting"' in audit, "no step is missing in the audit log"
        table.close()
        worker.stop()


def test_a_full_disk_of_the_node(make_node, serve, look, tmp_path):
    with small_disk(tmp_path / "node" / "orthanc", 40):
        node = make_node(worker=QUICK)
        table = look(node)
        arrived(node, write_head(tmp_path / "a"))
        filler = fill(tmp_path / "node" / "orthanc", 100_000)
        worker = serve(node.config)
        table.until(lambda: [bool(job.reason) for job in table.jobs()] == [True], worker)
        assert "disk full" in table.jobs()[0].reason
        filler.unlink()
        (job,) = table.until_settled(1, worker)
        assert job.state == "waiting"
        worker.stop()
        node.stop()
