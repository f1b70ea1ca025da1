"""A patient whose every value is a unique token, through the command line and a container, faults included."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pydicom
import pytest

from Testing.machine import wait_for
from Testing.phantoms import head_phantom, write_ct_series
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.support import image_of, job_containers

pytestmark = pytest.mark.docker

TOKENS = ("Qzyxname", "QZYXID4711", "19230417", "Qzyxfolder", "Qzyxstudy", "Qzyxhospital")
PATIENT = {"PatientName": f"TEST^{TOKENS[0]}", "PatientID": TOKENS[1], "PatientBirthDate": TOKENS[2]}
TAGS = {"StudyDescription": TOKENS[4], "InstitutionName": TOKENS[5]}


class Watcher:
    """Collects all that the engine tells of our containers while they are there."""

    def __init__(self, client):
        self.seen: dict[str, str] = {}
        self._client = client
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _watch(self):
        while not self._stop.wait(0.02):
            for item in job_containers(self._client):
                try:
                    about = json.dumps(self._client.inspect_container(item["Id"]))
                    self.seen[item["Id"]] = about + self._client.logs(item["Id"]).decode("utf-8", "replace")
                except Exception:  # noqa: BLE001 - removed meanwhile
                    continue


def segment(engine, tmp_path, way: str, cancel: bool = False):
    """Run the command; returns (exit code, stdout lines, stderr, what the engine told)."""
    series = tmp_path / TOKENS[3]
    if not series.exists():
        write_ct_series(series, head_phantom(), patient=PATIENT, tags=TAGS)
    image = image_of(engine.client, way)
    command = [sys.executable, "-m", "HNSegmenterLib", "segment", str(series), "-o", str(tmp_path / "out")]
    command += ["--runtime", "docker", "--image", image, "--json"]
    own = tmp_path / "own"
    own.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    environment |= {"TMPDIR": str(own), "HNSEG_JOBS": str(own / "jobs")}
    with Watcher(engine.client) as watcher:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if cancel:
            wait_for(lambda: watcher.seen)
            process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in out.splitlines()], error, watcher.seen


def assert_clean(tmp_path, seen, error):
    assert seen, "no container was seen"
    for told in [*seen.values(), error]:
        assert not [token for token in TOKENS if token in told]
    assert [path for path in (tmp_path / "own").rglob("*") if path.is_file()] == []


def test_done(engine, nothing_left, tmp_path):
    code, lines, error, seen = segment(engine, tmp_path, "late")
    assert code == 0, lines[-1]
    assert_clean(tmp_path, seen, error)
    rtstruct = pydicom.dcmread(tmp_path / "out" / "rtstruct.dcm")
    assert (str(rtstruct.PatientName), rtstruct.PatientID) == (PATIENT["PatientName"], PATIENT["PatientID"])
    result = (tmp_path / "out" / "result.json").read_text()
    assert not [token for token in TOKENS if token in result]


@pytest.mark.parametrize(("way", "code"), [("unusable", 2), ("fault", 1), ("silent", 1), ("badjson", 1)])
def test_faults(engine, nothing_left, tmp_path, way, code):
    ended, lines, error, seen = segment(engine, tmp_path, way)
    assert ended == code and lines[-1]["event"] == "error"
    assert_clean(tmp_path, seen, error)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_cancelled(engine, nothing_left, tmp_path):
    ended, lines, error, seen = segment(engine, tmp_path, "slow", cancel=True)
    assert ended == 130 and lines[-1]["message"].startswith("Cancelled")
    assert_clean(tmp_path, seen, error)
