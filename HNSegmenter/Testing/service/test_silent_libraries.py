"""Of a patient's file nothing on stderr, in a log, the table, the audit log or job.json,
from the scanner to the planning system."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib.service.node.client import Node
from HNSegmenterLib.silent_libraries import quiet
from Testing.awkward_patient import SERIES_UID, VALUES, tells_nothing, write_awkward
from Testing.raw_elements import element
from Testing.service.fixtures import make_node, planning_system
from Testing.service.review_help import REVIEWER, command_line
from Testing.service.serving import QUICK, look, serve
from Testing.service.worker_process import job_of, written


@pytest.fixture
def node(make_node, planning_system):
    return make_node(planning_port=planning_system.port, worker=QUICK)


def ended_well(*words: object) -> str:
    """stdout of a command that says nothing on stderr."""
    done = command_line(*words)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return done.stdout


def segmented(node, serve, look, folder: Path) -> tuple:
    """By HTTP, since DCMTK refuses to send such files."""
    with Node(node.settings.node) as rest:
        for path in write_awkward(folder):
            rest.upload(path.read_bytes())
    worker, table = serve(node.config), look(node)
    (job,) = table.until_settled(1, worker)
    return worker, table, job


def test_the_whole_way_of_an_awkward_patient_is_silent(node, planning_system, serve, look, tmp_path):
    worker, table, job = segmented(node, serve, look, tmp_path / "scanner")
    assert (job.state, job.reason, job.series_uid) == ("waiting", "", SERIES_UID)
    config, out = ("--config", node.config), tmp_path / "review"
    ended_well("inbox", "list", "--json", *config)  # on the screen it names the patient, as it should
    tells_nothing(ended_well("queue", "list", *config))
    tells_nothing(ended_well("inbox", "fetch", job.node_id, "--out", out, *config))
    rtstruct = out / "results" / "rtstruct.dcm"
    for ct in ((), ("--ct", out / "ct")):  # the second time it is answered with what is there
        given = ("--reviewer", REVIEWER, "--rtstruct", rtstruct, *ct)
        tells_nothing(ended_well("inbox", "approve", job.node_id, *given, *config))
    table.until(lambda: table.states() == ["sent"], worker)
    kept = written(node.config.parent, (".jsonl", ".db", ".db-wal"))  # Orthanc's own log is Orthanc's
    tells_nothing(worker.log.read_text(), kept, json.dumps(job_of(node)), (out / "results" / "result.json").read_text())
    (file,) = planning_system.received()
    assert (
        element("PatientName", b"PN", VALUES["PatientName"] + b" " * (len(VALUES["PatientName"]) % 2))
        in file.read_bytes()
    )


@pytest.mark.parametrize("wrong", ["not DICOM", "another patient"])
def test_a_refused_approval_quotes_nothing(node, serve, look, tmp_path, wrong):
    _, _, job = segmented(node, serve, look, tmp_path / "scanner")
    config, out = ("--config", node.config), tmp_path / "review"
    ended_well("inbox", "fetch", job.node_id, "--out", out, *config)
    other = _other(out / "results" / "rtstruct.dcm", wrong)
    done = command_line(
        "inbox", "approve", job.node_id, "--reviewer", REVIEWER, "--rtstruct", other, "--ct", out / "ct", *config
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    tells_nothing(done.stdout, done.stderr)


@quiet()
def _other(path: Path, wrong: str) -> Path:
    if wrong == "not DICOM":
        path.write_bytes(path.read_bytes().replace(b"DICM", b"XQXQ", 1)[:300])
    else:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "XQOTHER"
        dataset.save_as(path)
    return path
