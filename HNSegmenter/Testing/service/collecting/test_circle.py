"""From the scanner to training data by real programs: storescu, Orthanc, a worker, approvals by the command line."""

from __future__ import annotations

import gzip
import json
import tomllib
from datetime import date, timedelta
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.rtstruct.placing import placed
from HNSegmenterLib.service.collecting.node import Wanted, approvals
from HNSegmenterLib.service.node.client import Node
from HNSegmenterLib.service.table.interface import Job
from Testing.service.collecting.scanning import leaked, tokens
from Testing.service.fixtures import OrthancNode, PlanningSystem, send, write_service_toml
from Testing.service.review_help import command_line
from Testing.service.serving import QUICK, Look, Serving, write_head

EDITED, UNTOUCHED, REJECTED, RENAMED = NUMBERS = range(1, 5)
FIRST, SECOND = "Reviewer^Firstsecret", "Reviewer^Secondsecret"
MODEL = "two-organs-test 1"


def edit(path: Path) -> None:
    """A clinician takes the mandible's lower slices away; her program says that she edited it."""
    dataset = pydicom.dcmread(path)
    organ = next(roi for roi in pair(dataset).rois if roi.name == "Bone_Mandible")
    kept = list(organ.drawn[0].ContourSequence)
    organ.drawn[0].ContourSequence = kept[len(kept) // 3 :]
    organ.item.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
    dataset.StructureSetName = "Secretsetname"
    dataset.save_as(path)


def rename(path: Path) -> None:
    """The clinic's own name, and an ROI whose name is a patient's."""
    dataset = pydicom.dcmread(path)
    for item in dataset.StructureSetROISequence:
        item.ROIName = {"Brain": "Gehirn", "Bone_Mandible": "GTV Secretmueller"}[item.ROIName]
    dataset.save_as(path)


class Hospital:
    """A node with four patients: approved as drawn, edited and renamed, and one rejected."""

    def __init__(self, folder: Path, planning_port: int):
        worker = {"folder": "worker", **QUICK}
        self.node = OrthancNode(write_service_toml(folder / "node", planning_port, worker=worker))
        self.look = Look(self.node.settings)
        self.folder, self.sets, self.worker = folder, {}, None
        self.cts = {number: write_head(folder / f"ct{number}", number) for number in NUMBERS}
        self.uids = {number: str(pydicom.dcmread(files[0]).SeriesInstanceUID) for number, files in self.cts.items()}

    def open(self) -> None:
        self.node.start()
        self.worker = Serving(self.node.config)
        for files in self.cts.values():
            assert send(files, self.node.port).returncode == 0
        self.look.until_settled(len(self.cts), self.worker)
        assert set(self.look.states()) == {"waiting"}
        nobody = self.run("node", "collect", "--out", self.folder / "none", code=2)[-1]
        assert "no approved patient" in nobody["message"], "what waits for its review is nobody's contours yet"
        for number, reviewer, change in (
            (EDITED, FIRST, edit), (UNTOUCHED, SECOND, lambda path: None), (RENAMED, FIRST, rename)
        ):  # fmt: skip
            out = self.folder / f"fetched{number}"
            self.run("inbox", "fetch", self.uids[number], "--out", out)
            self.sets[number] = out / "results" / "rtstruct.dcm"
            change(self.sets[number])
            self.run(
                "inbox", "approve", self.uids[number], "--reviewer", reviewer, "--rtstruct", self.sets[number], "--yes"
            )
        self.run("inbox", "reject", self.uids[REJECTED], "--reviewer", FIRST, "--reason", "Secretreason")
        self.look.until(lambda: sorted(self.look.states()) == ["rejected", "sent", "sent", "sent"])
        self.look.until_settled(len(self.cts), self.worker)

    def run(self, *words: object, code: int = 0) -> list[dict]:
        """The command's JSON lines."""
        done = command_line(*words, "--config", self.node.config, "--json")
        assert done.returncode == code, (done.stdout[-3000:], done.stderr[-3000:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def close(self) -> None:
        if self.worker:
            self.worker.stop()
        self.look.close()
        self.node.kill()


@pytest.fixture(scope="module")
def hospital(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hospital")
    system = PlanningSystem(folder / "planning")
    system.start()
    made = Hospital(folder, system.port)
    try:
        made.open()
        yield made
    finally:
        made.close()
        system.stop()


@pytest.fixture(scope="module")
def collected(hospital):
    """All approved patients, with a key."""
    data, key = hospital.folder / "DATA", hospital.folder / "key.json"
    result = hospital.run("node", "collect", "--out", data, "--key", key, "--despite-checks")[-1]
    return data, key, result


def whose(collected, hospital, number: int) -> str:
    key = json.loads(collected[1].read_text())
    return next(name for name, origin in key.items() if origin["series_uid"] == hospital.uids[number])


def test_only_approved_patients_are_collected(collected, hospital):
    data, key, result = collected
    names = sorted(path.name for path in (data / "patients").iterdir())
    assert names == ["pt_0001", "pt_0002", "pt_0003"] == sorted(result["patients"])
    assert result["left_out"] == []
    assert {origin["series_uid"] for origin in json.loads(key.read_text()).values()} == {
        hospital.uids[number] for number in (EDITED, UNTOUCHED, RENAMED)
    }
    assert (key.stat().st_mode & 0o777, data.stat().st_mode & 0o777) == (0o600, 0o700)


def test_it_tells_nobody(collected, hospital):
    data, _, result = collected
    files = [path for paths in hospital.cts.values() for path in paths[:2]]
    organs = {*result["labels"], "Mandible", "Brain"}
    secrets = tokens([*files, *hospital.sets.values()], keep=organs | {MODEL, *MODEL.split()})
    assert {"Secretname001", "TEST-SECRETID-001", hospital.uids[1], "Secretsetname", "Secretmueller"} <= secrets
    with Node(hospital.node.settings.node) as rest:
        ids = rest.all_series()
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in hospital.cts[1]]
    jobs = [job.id for job in hospital.look.table.rows(Job)]
    secrets |= {*ids, *uids, *jobs, FIRST, SECOND, "Secretreason", str(hospital.folder)}
    assert leaked(secrets, data) == []


def test_the_images_headers_are_empty(collected):
    for path in collected[0].rglob("*.nii.gz"):
        header = nibabel.load(path).header
        for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
            assert bytes(header[field]).strip(b"\0") == b"", (path, field)
        assert list(header.extensions) == []
        content = path.read_bytes()
        assert content[3] == 0 and content[4:8] == b"\0" * 4, "gzip's name and time"
        assert len(gzip.decompress(content)) == 352 + np.prod(header.get_data_shape()) * header["bitpix"] // 8


def test_images_and_labels_are_the_patients(collected, hospital):
    data, _, result = collected
    for number in (EDITED, UNTOUCHED):
        folder = data / "patients" / whose(collected, hospital, number)
        ct = read_planning_ct(hospital.cts[number][0].parent)
        image, labels = (sitk.ReadImage(str(folder / name)) for name in ("data.nii.gz", "approved.nii.gz"))
        assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(ct.image))
        assert np.allclose(image.GetSpacing(), ct.image.GetSpacing())
        values = sitk.GetArrayFromImage(labels)
        assert {int(value) for value in np.unique(values)} == {0, *result["labels"].values()}
        on_slices = placed(pydicom.dcmread(hospital.sets[number]), ct)["Bone_Mandible"]
        drawn = [ct.slices[k].sop_instance_uid for k in range(len(values))
                 if (values[k] == result["labels"]["Bone_Mandible"]).any()]  # fmt: skip
        assert drawn == list(dict.fromkeys(contour.sop_instance_uid for contour in on_slices))


def test_the_index_says_who_drew_what(collected, hospital):
    index = json.loads((collected[0] / "index.json").read_text())
    edited = index[whose(collected, hospital, EDITED)]
    assert edited["context"] == {"Brain": 1.0, "Bone_Mandible": 1.0}
    mandible, brain = edited["organs"]["Bone_Mandible"], edited["organs"]["Brain"]
    assert (mandible["change"], mandible["algorithm"]) == ("edited", "SEMIAUTOMATIC")
    assert 0.5 < mandible["dice"] < 0.95 and mandible["volume_change_percent"] < -5 and mandible["largest_mm"] >= 5
    assert (brain["change"], brain["algorithm"], brain["dice"]) == ("untouched", "AUTOMATIC", 1.0)
    assert brain["model"] == mandible["model"] == MODEL
    untouched = index[whose(collected, hospital, UNTOUCHED)]
    assert {organ["change"] for organ in untouched["organs"].values()} == {"untouched"}
    renamed = index[whose(collected, hospital, RENAMED)]
    assert list(renamed["context"]) == ["Brain"], "known by its code; the tumour is none of the model's organs"
    assert renamed["organs"]["Bone_Mandible"]["change"] == "removed"


def test_adapt_finds_its_settings(collected):
    settings = tomllib.loads((collected[0] / "adapt.toml").read_text())
    assert settings["patients"]["hands"] == ["approved"]
    assert (collected[0] / settings["patients"]["folder"] / "pt_0001" / "data.nii.gz").is_file()
    assert settings["patients"]["labels"] == collected[2]["labels"]


TODAY, DAY = date.today(), timedelta(days=1)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Wanted(reviewers=(FIRST.upper(),)), {EDITED, RENAMED}),
        (Wanted(destinations=("MONACO",), reviewers=(SECOND,)), {UNTOUCHED}),
        (Wanted(destinations=("ECLIPSE",)), set()),
        (Wanted(since=TODAY - DAY, until=TODAY), {EDITED, UNTOUCHED, RENAMED}),
        (Wanted(since=TODAY + DAY), set()),
        (Wanted(until=TODAY - 2 * DAY), set()),
    ],
)
def test_filters(hospital, wanted, numbers):
    with Node(hospital.node.settings.node) as rest:
        found = approvals(rest, wanted)
    assert {one.origin.series_uid for one in found} == {hospital.uids[number] for number in numbers}


def test_those_alone_whom_nobody_edited(hospital, tmp_path):
    words = ["--out", tmp_path / "data", "--key", tmp_path / "key", "--despite-checks", "--only", "untouched"]
    answer = hospital.run("node", "collect", *words)[-1]
    (origin,) = json.loads((tmp_path / "key").read_text()).values()
    assert origin["series_uid"] == hospital.uids[UNTOUCHED]
    assert {one["reason"] for one in answer["left_out"]} == {"Some organs were edited."}


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--until", "2020-01-01"], 2, "nobody to collect"),
        (["--since", "27.11.2026"], 64, "is no date"),
        (["--destination", "ECLIPSE"], 64, "no destination"),
        ([], 2, "Nobody is left to collect, of 3"),
    ],
)
def test_nothing_is_written_where_nobody_is_left(hospital, tmp_path, options, code, said):
    """Without --despite-checks, what a quick network draws in a coarse head is odd: left out with the reason."""
    answer = hospital.run("node", "collect", "--out", tmp_path / "data", *options, code=code)[-1]
    assert said in answer["message"]
    assert not (tmp_path / "data").exists()


def test_the_record_is_kept_and_told(hospital):
    jobs = {job.series_uid: job for job in hospital.look.table.rows(Job)}
    recorded = jobs[hospital.uids[EDITED]].summary["corrections"]
    assert {organ["organ"]: organ["change"] for organ in recorded["organs"]} == {
        "Bone_Mandible": "edited", "Brain": "untouched",
    }  # fmt: skip
    assert "corrections" not in jobs[hospital.uids[REJECTED]].summary
    answer = hospital.run("inbox", "list")[-1]
    assert answer["corrected"] == "Corrected in your last 3 patients: Bone_Mandible 2 times."


def test_the_report_outlives_the_patients(hospital, tmp_path):
    """By the clinic's rules patients are deleted; what they taught stays. (The last test: it deletes one.)"""
    with Node(hospital.node.settings.node) as rest:
        rest.delete_series(rest.find_series(hospital.uids[EDITED]))
    answer = hospital.run("node", "report", "--out", tmp_path / "report.html")[-1]
    assert answer["approvals"] == 3
    page = (tmp_path / "report.html").read_text()
    assert MODEL in page and "Secret" not in page and hospital.uids[EDITED] not in page
