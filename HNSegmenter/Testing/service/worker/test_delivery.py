"""What a planning system gets: which set, with which words, under which UID, and what happens while it is away."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import datetime

import pydicom
import pytest

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.service.inbox import review
from HNSegmenterLib.service.node.client import RESULTS, Node
from HNSegmenterLib.service.peers.connections import DeliveryFault
from HNSegmenterLib.service.settings import TlsSettings
from HNSegmenterLib.service.table.interface import AUTOMATIC, REVIEWED, Delivery, Job
from HNSegmenterLib.service.worker import delivery
from Testing.machine import require_program, wait_for
from Testing.rtstruct.help import contours, dciodvfy_complaints
from Testing.service.fixtures import MONACO, PlanningSystem, make_node, node, planning_system, write_service_toml
from Testing.service.review_help import (
    PATIENT,
    REVIEWER,
    STORED,
    command_line,
    make_certificates,
    own_node,
    put_waiting,
    rest,
    waiting,
)
from Testing.service.worker_process import WorkerProcess, audit, job_of, written

AUTO_UID = "2.25.1234567890"


@pytest.fixture
def send(rest, own_node, waiting, planning_system):
    """Delivers as the worker does; files: for TLS; changes: of the destination MONACO."""

    def run(row: Delivery, files: TlsSettings | None = None, **changes) -> str:
        monaco = replace(own_node.settings.destinations[MONACO], **{"port": planning_system.port, **changes})
        settings = replace(own_node.settings, destinations={MONACO: monaco}, tls=files)
        return delivery.send(rest, settings, Job("job1", waiting.series, waiting.uid, "", ""), row)

    return run


@pytest.fixture
def approved(rest, own_node, waiting) -> Delivery:
    made = review.approve(rest, own_node.settings, waiting.series, REVIEWER, waiting.rtstruct, ct_folder=waiting.ct)
    return Delivery("job1", MONACO, REVIEWED, made.sop_instance_uid, made.reviewer, made.time)


AUTOMATIC_ROW = Delivery("job1", MONACO, AUTOMATIC, AUTO_UID)


def only(planning_system) -> pydicom.Dataset:
    (file,) = planning_system.received()
    assert dciodvfy_complaints(file) == []
    return pydicom.dcmread(file)


def test_unapproved_unless_the_destination_wants_it(send, approved, planning_system, waiting):
    assert send(approved) == "MONACO stored it."
    dataset = only(planning_system)
    assert (dataset.SOPClassUID, dataset.SOPInstanceUID) == (STORED, approved.sop_instance_uid)
    assert dataset.ApprovalStatus == "UNAPPROVED"
    assert not {"ReviewerName", "ReviewDate", "ReviewTime"} & set(dataset.dir())
    assert dataset.StructureSetDescription.startswith(f"Reviewed by {REVIEWER}, ")
    assert contours(dataset) == contours(pydicom.dcmread(waiting.rtstruct))
    assert dataset.file_meta.SourceApplicationEntityTitle == "HNSEG"


def test_approved_with_reviewer_date_and_time(send, approved, planning_system):
    send(approved, approval="APPROVED")
    dataset = only(planning_system)
    when = datetime.fromisoformat(approved.review_time)
    assert (dataset.ApprovalStatus, dataset.ReviewerName) == ("APPROVED", REVIEWER)
    assert (dataset.ReviewDate, dataset.ReviewTime) == (f"{when:%Y%m%d}", f"{when:%H%M%S}")
    assert dataset.SOPInstanceUID == approved.sop_instance_uid


@pytest.mark.parametrize("name", ["Müller^Änne", "Иванова^Анна"])
def test_a_reviewers_name_arrives_as_it_is(send, waiting, rest, own_node, planning_system, name):
    made = review.approve(rest, own_node.settings, waiting.series, name, waiting.rtstruct, ct_folder=waiting.ct)
    send(Delivery("job1", MONACO, REVIEWED, made.sop_instance_uid, made.reviewer, made.time), approval="APPROVED")
    dataset = only(planning_system)
    assert dataset.ReviewerName == name and name in dataset.StructureSetDescription


def test_by_tls(send, approved, own_node, tmp_path, planning_system):
    folder = make_certificates(tmp_path / "certificates")
    options = ["+tls", str(folder / "peer.key"), str(folder / "peer.pem"), "+cf", str(folder / "ca.pem")]
    system = PlanningSystem(tmp_path / "secure", options=options)
    system.start()
    try:
        files = TlsSettings(folder / "us.pem", folder / "us.key", folder / "ca.pem")
        assert send(approved, port=system.port, tls=True, files=files) == "MONACO stored it."
        assert only(system).SOPInstanceUID == approved.sop_instance_uid
        assert planning_system.received() == []
    finally:
        system.stop()


def test_every_repeat_sends_the_same(send, approved, planning_system):
    send(approved, approval="APPROVED")
    first = only(planning_system)
    send(approved, approval="APPROVED")
    assert only(planning_system) == first


@pytest.mark.parametrize("approval", ["UNAPPROVED", "APPROVED"])
def test_without_a_review_it_says_so_and_is_never_approved(send, waiting, planning_system, approval):
    send(AUTOMATIC_ROW, approval=approval, automatic=True)
    send(AUTOMATIC_ROW, approval=approval, automatic=True)
    dataset = only(planning_system)
    assert dataset.StructureSetLabel == "NOT REVIEWED"
    assert dataset.StructureSetDescription.startswith("NOT REVIEWED: ")
    assert dataset.SeriesDescription.startswith("NOT REVIEWED")
    assert dataset.ApprovalStatus == "UNAPPROVED" and "ReviewerName" not in dataset
    assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID == AUTO_UID
    assert contours(dataset) == contours(pydicom.dcmread(waiting.rtstruct))


def test_what_only_a_person_can_mend_is_final(send, approved, rest, waiting, planning_system):
    for row, words in (
        (replace(approved, destination="PINNACLE"), "no destination of the configuration"),
        (replace(approved, sop_instance_uid="2.25.1"), "not the one that was approved"),
    ):
        with pytest.raises(DeliveryFault, match=words) as caught:
            send(row)
        assert caught.value.final
    rest.detach(waiting.series, RESULTS)
    with pytest.raises(UnusableInput, match="no result"):
        send(AUTOMATIC_ROW)
    assert planning_system.received() == []


def test_an_approval_that_gave_way_to_a_newer_one_is_not_sent(send, approved, rest, waiting, own_node, planning_system):
    waiting.attach_job(job="job2")
    review.approve(rest, own_node.settings, waiting.series, REVIEWER, waiting.rtstruct, ct_folder=waiting.ct)
    with pytest.raises(DeliveryFault, match="newer result was reviewed") as caught:
        send(approved)
    assert caught.value.final and planning_system.received() == []


def test_a_planning_system_that_is_away_is_tried_again(send, approved, planning_system):
    planning_system.stop()
    with pytest.raises(DeliveryFault, match="is closed") as caught:
        send(approved)
    assert not caught.value.final
    planning_system.start()
    send(approved)
    assert only(planning_system).SOPInstanceUID == approved.sop_instance_uid


# With the worker: a real patient's way through node, network, review and planning system.

QUICK = {"worker": {"lease_s": 2, "retry_s": 0.5}, "node": {"stable_age_s": 1}}


@pytest.fixture
def worker(tmp_path):
    """Starts workers; those still alive are stopped after the test."""
    started = []

    def start(node, before=""):
        started.append(WorkerProcess(node, tmp_path / "worker.log", before))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    from HNSegmenterLib.sample import write_dicom

    return write_dicom(tmp_path_factory.mktemp("sample") / "ct")


def send_ct(folder, node) -> None:
    command = [
        require_program("storescu"),
        "-aet",
        "CT1",
        "-aec",
        "HNSEG",
        "+sd",
        "127.0.0.1",
        str(node.port),
        str(folder),
    ]
    sent = subprocess.run(command, capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr


def approve_by_script(node, out, *options):
    """fetch, then approve what was fetched."""
    series = node.series()[0]
    fetched = command_line("inbox", "fetch", series, "--out", out, "--config", node.config)
    assert fetched.returncode == 0, fetched.stderr
    words = [
        "--reviewer",
        REVIEWER,
        "--rtstruct",
        out / "results" / "rtstruct.dcm",
        "--ct",
        out / "ct",
        "--config",
        node.config,
    ]
    done = command_line("inbox", "approve", series, *words, *options)
    assert done.returncode == 0, done.stderr
    with Node(node.settings.node) as client:
        return review.read(client, series, job_of(node)["job"])


def test_a_planning_system_that_is_down_gets_it_later_with_the_same_uid(
    make_node, planning_system, worker, sample, tmp_path
):
    node = make_node(planning_port=planning_system.port, **QUICK)
    planning_system.stop()
    send_ct(sample, node)
    serving = worker(node)
    serving.wait_state("waiting")
    made = approve_by_script(node, tmp_path / "reviewed")

    def tried_twice() -> bool:
        rows = (job_of(node) or {}).get("deliveries") or []
        return bool(rows) and rows[0]["attempts"] >= 2 and "is closed" in rows[0]["reason"]

    wait_for(tried_twice, 60)
    serving.stop()  # and the worker is started anew meanwhile
    serving = worker(node)
    planning_system.start()
    record = serving.wait_state("sent")
    (row,) = record["deliveries"]
    assert row["answer"] == "MONACO stored it."
    assert only(planning_system).SOPInstanceUID == made.sop_instance_uid == row["sop_instance_uid"]
    for text in (written(tmp_path), serving.log.read_text()):
        for secret in ("SamplePatient", "HNSEG-SAMPLE", node.settings.node.password()):
            assert secret not in text


# A worker that a power cut ends: once it has taken the approval, before or after the sending, once that is noted.
POWER_CUT = """
import os, signal
from HNSegmenterLib.service.worker import context, delivery
def cut(): os.kill(os.getpid(), signal.SIGKILL)
real, real_end, real_move = delivery.send, context.Service.end, context.Service.move
def send(*arguments):
    if "{when}" == "before": cut()
    answer = real(*arguments)
    if "{when}" == "after": cut()
    return answer
def end(self, row, after, **changes):
    done = real_end(self, row, after, **changes)
    if "{when}" == "noted" and after == "sent": cut()
    return done
def move(self, row, after, *arguments, **changes):
    if "{when}" == "taken" and isinstance(row, context.Job) and after == "sending": cut()
    return real_move(self, row, after, *arguments, **changes)
delivery.send, context.Service.end, context.Service.move = send, end, move
"""
STEPS = [(REVIEWED, step) for step in ("taken", "before", "after", "noted")] + [
    (AUTOMATIC, step) for step in ("before", "after", "noted")
]


@pytest.mark.parametrize(("kind", "when"), STEPS)
def test_a_worker_killed_while_sending_sends_one_set(make_node, planning_system, worker, tmp_path, kind, when):
    destination = {
        MONACO: {"ae_title": MONACO, "host": "127.0.0.1", "port": planning_system.port, "automatic": kind == AUTOMATIC}
    }
    node = make_node(destinations=destination, rules={"minimum_slices": 10, "minimum_coverage_mm": 50}, **QUICK)
    series = waiting_job(node, tmp_path)
    if kind == REVIEWED:
        approve_by_script(node, tmp_path / "reviewed")
    worker(node, POWER_CUT.format(when=when)).wait_killed()
    serving = worker(node)

    def ended() -> bool:
        rows = job_of(node, series).get("deliveries")
        return bool(rows) and rows[0]["state"] == "sent"

    wait_for(ended, 60)
    (row,) = job_of(node, series)["deliveries"]
    serving.stop()
    assert only(planning_system).SOPInstanceUID == row["sop_instance_uid"]
    stored = planning_system.log.read_text().count("Received Store Request")
    assert stored == (2 if when == "after" else 1)
    uids = {line["sop_instance_uid"] for line in audit(node) if "sop_instance_uid" in line}
    assert uids == {row["sop_instance_uid"]}
    assert not [secret for secret in PATIENT if secret in written(tmp_path)]


def waiting_job(node, folder) -> str:
    """A waiting job in the worker's own table, whose result is a phantom's: these tests are not about segmenting."""
    from HNSegmenterLib.runtimes import choose
    from HNSegmenterLib.service.table.interface import State, digest_of, job_id
    from HNSegmenterLib.service.table.opening import open_table
    from HNSegmenterLib.service.worker.segmenting import model_digest

    with Node(node.settings.node) as client:
        waiting = put_waiting(client, folder / "patient")
        digest = digest_of(tags["SOPInstanceUID"] for tags in client.headers(waiting.series).values())
        model = model_digest(choose("local", models=node.settings.worker.model))
        key = job_id(waiting.series, digest, model)
        waiting.attach_job(job=key)
    table = open_table(node.settings.worker)
    table.add(Job(key, waiting.series, waiting.uid, digest, model, State.WAITING))
    table.close()
    return waiting.series
