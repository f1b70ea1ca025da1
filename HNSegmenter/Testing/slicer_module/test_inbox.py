"""The inbox section in a real Slicer, against a real node, its worker and a planning system."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib.sample import sample_volume
from HNSegmenterLib.sample.series import MadeUp, write_series
from Testing.service.fixtures import PlanningSystem, make_node, send, write_service_toml
from Testing.slicer_module.test_application import HERE, PASSED, slicer, start

FIRST = 90  # slices of a patient that grows later
PATIENTS = ("Approved", "Rejected", "Held")


def patient(name: str) -> MadeUp:
    return MadeUp(
        f"TEST^{name}",
        f"TEST-{name.upper()}",
        "Made up",
        "Planning CT",
        "Synthetic: no real person",
        f"inbox test {name}",
    )


@pytest.fixture
def clinic(make_node, tmp_path):
    """A node with two planning systems, one of them switched off, to which a scanner has sent three patients.

    Of one there are 20 slices, of another two thirds; CT-Rejected has all of it.
    """
    systems = {name: PlanningSystem(tmp_path / name, name) for name in ("MONACO", "SECOND")}
    systems["MONACO"].start()
    destinations = {
        name: {"ae_title": name, "host": "127.0.0.1", "port": system.port} for name, system in systems.items()
    }
    destinations["SECOND"]["approval"] = "APPROVED"
    node = make_node(destinations=destinations, worker={"retry_s": 1})
    ct = sample_volume(0)[0]
    for name in PATIENTS:
        folder = write_series(ct, tmp_path / f"CT-{name}", patient(name))
        slices = {"Held": 20, "Rejected": FIRST}.get(name)
        sent = send(sorted(folder.iterdir())[:slices], node.port)
        assert sent.returncode == 0, sent.stderr[-2000:]
    with worker(node.config, tmp_path / "worker.log"):
        yield node, systems
    for system in systems.values():
        system.stop()


@contextmanager
def worker(config: Path, log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "HNSegmenterLib", "serve", "--config", str(config)]
    environment = {name: value for name, value in os.environ.items() if name != "HNSEG_JOBS"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def test_review_in_slicer(start, clinic, tmp_path, own_folders):
    """Opened, edited, approved for a planning system that is switched on later;
    another patient grows, and is rejected."""
    node, systems = clinic
    rest = tmp_path / "rest"
    rest.mkdir()
    for path in sorted((tmp_path / "CT-Rejected").iterdir())[FIRST:]:
        path.rename(rest / path.name)
    switch = tmp_path / "switch"
    waiting = threading.Thread(target=_start_when, args=(systems["SECOND"], switch), daemon=True)
    waiting.start()
    in_slicer(
        start,
        "node/inbox.py",
        HNSEG_TEST_SERVICE=str(node.config),
        HNSEG_TEST_REST=str(rest),
        HNSEG_TEST_SWITCH=str(switch),
    )
    assert systems["MONACO"].received() == []
    [received] = systems["SECOND"].received()
    sent = pydicom.dcmread(received)
    assert (sent.Modality, sent.PatientName, sent.ApprovalStatus) == ("RTSTRUCT", "TEST^Approved", "APPROVED")
    assert "TEST Reviewer" in str(sent.ReviewerName).replace("^", " ")
    algorithms = {roi.ROIName: roi.ROIGenerationAlgorithm for roi in sent.StructureSetROISequence}
    assert algorithms["Brainstem"] == "SEMIAUTOMATIC"
    assert algorithms["Parotid_L"] == "AUTOMATIC"
    assert "Eye_L" not in algorithms and "Eye_L: found, but left out." in sent.StructureSetDescription
    scanned = {
        pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (tmp_path / "CT-Approved").iterdir()
    }
    contours = [contour for roi in sent.ROIContourSequence for contour in roi.ContourSequence]
    assert {contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours} <= scanned
    assert list((own_folders / "jobs").glob("*")) == []


def in_slicer(start, script: str, **variables: str) -> str:
    """What a script said that passed in Slicer."""
    said = start(HERE / script, **variables)
    assert PASSED in said, said[-6000:]
    return said


def _start_when(system: PlanningSystem, switch: Path) -> None:
    while not switch.exists():
        time.sleep(0.1)
    system.start()


def test_what_may_be_wrong_in_slicer(start, make_node, tmp_path):
    """Sentences in place of a table; a wrong password is asked for again, and none is kept."""
    node = make_node()
    password_file = node.settings.node.password_file
    password = password_file.read_text().strip()
    password_file.unlink()
    down = write_service_toml(tmp_path / "down")
    variables = {"HNSEG_TEST_SERVICE": str(node.config), "HNSEG_TEST_PASSWORD": password, "HNSEG_TEST_DOWN": str(down)}
    said = in_slicer(start, "node/inbox_faults.py", **variables)
    assert password not in said
