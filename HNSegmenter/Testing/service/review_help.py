"""What the tests of review and delivery share: a node with a result that waits on it, a review of that, certificates.

Import the fixtures by name: `from Testing.service.review_help import own_node, rest, waiting`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.service.inbox import review
from HNSegmenterLib.service.inbox.finalising import read_rtstruct
from HNSegmenterLib.service.inbox.review_record import reviewed_set
from HNSegmenterLib.service.node.client import JOB, RESULTS, Node
from HNSegmenterLib.service.table.interface import digest_of
from HNSegmenterLib.service.worker.segmenting import pack
from Testing.machine import ROOT, require_program
from Testing.rtstruct.help import head_organs, make_ct, result
from Testing.service.fixtures import OrthancNode, write_service_toml

SHAPE, SPACING = (24, 64, 64), (4.0, 4.0, 4.0)
REVIEWER = "Reviewer^Test"
PATIENT = ("TEST^Phantom", "TEST-0001")  # of phantoms.py
STORED = "1.2.840.10008.5.1.4.1.1.481.3"


@dataclass
class Waiting:
    """A series on the node with a result that waits for its review, and its files."""

    node: Node
    series: str
    uid: str
    ct: Path
    rtstruct: Path
    results: Path

    def attach_job(self, **changes) -> None:
        self.node.attach_json(self.series, JOB, job_record(self.node, self.series, **changes))


def job_record(node: Node, series: str, **changes) -> dict:
    """What the worker attaches for a waiting result."""
    uids = [tags["SOPInstanceUID"] for tags in node.headers(series).values()]
    record = {
        "job": "job1",
        "state": "waiting",
        "reason": "",
        "sop_digest": digest_of(uids),
        "destinations": ["MONACO"],
    }
    return {
        **record,
        "warnings": ["Slices are 4 mm apart."],
        "organs": [{"name": "Brainstem", "found": True}],
        **changes,
    }


def put_waiting(node: Node, folder: Path, **variations) -> Waiting:
    """A head phantom on the node, its organs as the result of job1; variations: of phantoms.write_ct_series."""
    ct = make_ct(folder / "ct", SHAPE, SPACING, **variations)
    outcome = result()
    write_rtstruct(ct, head_organs(ct), outcome, folder / "out" / "rtstruct.dcm")
    outcome.write(folder / "out" / "result.json")
    for path in sorted((folder / "ct").iterdir()):
        node.upload(path.read_bytes())
    series = node.find_series(ct.series_uid)
    waiting = Waiting(node, series, ct.series_uid, folder / "ct", folder / "out" / "rtstruct.dcm", folder / "out")
    node.attach(series, RESULTS, pack(folder / "out"))
    waiting.attach_job()
    return waiting


@pytest.fixture(scope="module")
def own_node(tmp_path_factory):
    """One for all tests of a file: each has a series of its own."""
    made = OrthancNode(write_service_toml(tmp_path_factory.mktemp("node")))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def rest(own_node):
    with Node(own_node.settings.node) as client:
        yield client


@pytest.fixture
def waiting(rest, tmp_path):
    return put_waiting(rest, tmp_path / "patient")


@pytest.fixture
def approve(rest, own_node, waiting):
    def run(reviewer=REVIEWER, rtstruct=None, **options):
        options = {"ct_folder": waiting.ct, **options}
        return review.approve(
            rest, own_node.settings, waiting.series, reviewer, rtstruct or waiting.rtstruct, **options
        )

    return run


@pytest.fixture
def finalised(rest, waiting):
    return lambda: read_rtstruct(reviewed_set(rest, waiting.series, "job1"))


def edited(waiting, tmp_path, change):
    """The result's RTSTRUCT as somebody left it after editing."""
    dataset = pydicom.dcmread(waiting.rtstruct)
    change(dataset)
    path = tmp_path / "edited.dcm"
    dataset.save_as(path)
    return path


def make_certificates(folder: Path) -> Path:
    """ca.pem with us and peer of it (NAME.pem, NAME.key), and other.pem of another authority, otherca.pem."""
    folder.mkdir()
    openssl = require_program("openssl")

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True)

    for ca, names in (("ca", ("us", "peer")), ("otherca", ("other",))):
        keys = ("-newkey", "rsa:2048", "-nodes", "-keyout")
        run("req", "-x509", *keys, f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN=test {ca}")
        for name in names:
            run("req", *keys, f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN=test {name}")
            signed = ("-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem")
            run("x509", "-req", "-in", f"{name}.csr", *signed)
    return folder


def command_line(*words: object, **options) -> subprocess.CompletedProcess:
    """hn-segmenter WORDS as a process of its own."""
    command = [sys.executable, "-m", "HNSegmenterLib", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT / "HNSegmenter", timeout=300, **options, check=False
    )
