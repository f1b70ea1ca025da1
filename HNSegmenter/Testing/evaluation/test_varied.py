"""Varied CTs compared: with a network of the test's own making, so that what is lost,
found and said is known beforehand."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib import sample
from HNSegmenterLib.cli.evaluate import VARIATIONS
from HNSegmenterLib.cli.main import main
from HNSegmenterLib.evaluation.dataset import PRESETS, Dataset
from HNSegmenterLib.evaluation.evaluate import ABSENT, FOUND_FALSELY, OUT_OF_VIEW, try_patient
from HNSegmenterLib.evaluation.findings import CHANGED, CUT_SAID, CUT_UNSAID, FALSE, FAR, SWAPPED
from HNSegmenterLib.evaluation.prediction import Prediction
from HNSegmenterLib.evaluation.summary import losses, summarise
from HNSegmenterLib.evaluation.vary import Donors, try_variation
from HNSegmenterLib.runtimes.local import LocalRuntime, network_folder
from Testing.painted_head import COLORS, like, painted_head

LABELS = PRESETS["openkbp-eyes"]
VALUES = {name: value for value, name in LABELS.items()}


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Two painted heads whose organs differ in HU, so that they can be found by it; the second is a little darker."""
    for number, name in enumerate(("pt_1", "pt_2")):
        ct, labelmaps = painted_head(spacing=(5.0, 5.0, 4.0))
        hu, label = sitk.GetArrayFromImage(ct), np.zeros(sitk.GetArrayViewFromImage(ct).shape, np.uint8)
        for organ, labelmap in labelmaps.items():
            inside = sitk.GetArrayViewFromImage(labelmap) != 0
            hu[inside], label[inside] = 1000 + 100 * VALUES[organ] - number, VALUES[organ]
        (tmp_path / name).mkdir()
        sitk.WriteImage(like(ct, hu), str(tmp_path / name / "data.nii.gz"))
        sitk.WriteImage(like(ct, label), str(tmp_path / name / "label.nii.gz"))
    return Dataset.read(tmp_path)


class ByHu:
    """A network that knows every organ by its HU; left and right by the side of the image, as a real one has to."""

    def __init__(self, folder: Path, says: str = ""):
        self._folder, self._says = folder, says

    def as_it_is(self, patient) -> Prediction:
        return self.varied(patient, "plain", sitk.ReadImage(str(patient.ct)))

    def varied(self, patient, variation: str, ct: sitk.Image) -> Prediction:
        place = self._folder / variation / patient.name
        place.mkdir(parents=True)
        straight = sitk.DICOMOrient(ct, "LPS")
        hu = sitk.GetArrayFromImage(straight)
        organs = []
        for organ in COLORS:
            sides = [organ[:-1] + side for side in "LR"] if organ.endswith(("_L", "_R")) else [organ]
            mask = np.any([np.abs(hu - 1000 - 100 * VALUES[one]) < 50 for one in sides], axis=0)
            if len(sides) == 2:
                columns = np.flatnonzero((hu > -400).any(axis=(0, 1)))
                left = np.arange(hu.shape[2]) > (columns[0] + columns[-1]) / 2
                mask &= left if organ.endswith("_L") else ~left
            found = sitk.DICOMOrient(
                like(straight, mask.astype(np.uint8)),
                sitk.DICOMOrientImageFilter_GetOrientationFromDirectionCosines(ct.GetDirection()),
            )
            sitk.WriteImage(like(ct, sitk.GetArrayFromImage(found)), str(place / f"{organ}.nii.gz"))
            status = "found" if mask.any() else "not found"
            organs.append(
                {
                    "name": organ,
                    "label": 1,
                    "color": [0, 0, 0],
                    "status": status,
                    "checks": [self._says] if self._says else [],
                }
            )
        values = {
            "contract": 1,
            "model": {},
            "runtime": {},
            "input": {},
            "timings_s": {},
            "warnings": [],
            "organs": organs,
        }
        (place / "result.json").write_text(json.dumps(values), encoding="utf-8")
        return Prediction(place, ct)


def trials(dataset: Dataset, network, name: str, seed: int = 0):
    """(trial as it is, trial varied) of the first patient."""
    plain, case = try_patient(dataset.patients[0], LABELS, network.as_it_is)
    return plain, try_variation(name, case, network.varied, Donors(dataset, LABELS), axial=False, seed=seed)


@pytest.mark.parametrize(
    "name", [name for name in VARIATIONS if name not in ("cut", "noise", "rotated", "planning-ct")]
)
def test_a_network_that_variations_do_not_trouble_loses_nothing(dataset, tmp_path, name):
    plain, varied = trials(dataset, ByHu(tmp_path / "made", "It was not found."), name)
    assert {row.agreement.dice for row in plain.rows} == {1.0}
    scored = [row for row in varied.rows if row.status != OUT_OF_VIEW]
    assert scored and {row.agreement.dice for row in scored} == {row.unchanged.dice for row in scored} == {1.0}
    assert all(one.loss == 0 for one in losses(varied.rows))
    assert [finding.kind for finding in varied.findings] == []


@pytest.mark.parametrize("name", ["rotated", "planning-ct"])
def test_what_is_found_on_a_moved_ct_is_compared_in_its_place(dataset, tmp_path, name):
    _, varied = trials(dataset, ByHu(tmp_path / "made"), name)
    parotid = next(row for row in varied.rows if row.organ == "Parotid_L")
    assert parotid.agreement.dice > 0.75 and parotid.unchanged.dice == 1.0, "partial volumes have no HU of their own"
    assert SWAPPED not in [finding.kind for finding in varied.findings]


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_that_is_not_said_is_found(dataset, tmp_path, seed):
    _, silent = trials(dataset, ByHu(tmp_path / "silent"), "cut", seed)
    says = (
        "Left parotid touches the highest slice: the scan may be cut there. Left parotid "
        "touches the lowest slice: the scan may be cut there."
    )
    _, speaking = trials(dataset, ByHu(tmp_path / "speaking", says), "cut", seed)
    cut = [finding.organ for finding in silent.findings if finding.kind == CUT_UNSAID]
    assert cut
    assert [finding.organ for finding in speaking.findings if finding.kind == CUT_SAID] == cut
    assert CUT_UNSAID not in [finding.kind for finding in speaking.findings]
    assert {row.agreement.dice for row in speaking.rows if row.agreement} == {1.0}, "on what is still in view"


class Sided(ByHu):
    """Calls left what is right of the image's middle column: it does not look at the header."""

    def varied(self, patient, variation: str, ct: sitk.Image) -> Prediction:
        prediction = super().varied(patient, variation, ct)
        if ct.GetDirection()[0] < 0:
            for left in ("Parotid_L", "Eye_L"):
                files = [prediction.folder / f"{name}.nii.gz" for name in (left, left[:-1] + "R")]
                images = [sitk.ReadImage(str(file)) for file in files]
                for file, image in zip(files, reversed(images), strict=True):
                    sitk.WriteImage(image, str(file))
        return prediction


def test_swapped_sides_and_changes_are_found(dataset, tmp_path):
    found = {}
    for seed in range(6):
        _, varied = trials(dataset, Sided(tmp_path / str(seed)), "reoriented", seed)
        found |= {(finding.kind, finding.organ): seed for finding in varied.findings}
    assert {(SWAPPED, "Parotid_L"), (SWAPPED, "Eye_L"), (CHANGED, "Parotid_R")} <= found.keys()


def test_eyes_that_are_not_there_and_eyes_far_off(dataset, tmp_path):
    context = {"Brainstem": 1.0, "Eye_L": 1.0, "Eye_R": 1.0}
    (dataset.folder / "index.json").write_text(
        json.dumps({name: {"context": context} for name in ("pt_1", "pt_2")}), encoding="utf-8"
    )
    for name, removed in (("pt_1", "Eye_L"), ("pt_2", "Eye_R")):
        file = dataset.folder / name / "label.nii.gz"
        image = sitk.ReadImage(str(file))
        label = sitk.GetArrayFromImage(image)
        label[label == VALUES[removed]] = 0
        if name == "pt_2":  # the other eye's reference lies two voxels further out
            eye = label == VALUES["Eye_L"]
            label[eye] = 0
            label[np.roll(eye, 2, axis=2)] = VALUES["Eye_L"]
        sitk.WriteImage(like(image, label), str(file))
    known = Dataset.read(dataset.folder)
    network = ByHu(tmp_path / "made")
    first, second = (try_patient(patient, LABELS, network.as_it_is)[0] for patient in known.patients)
    status = {row.organ: row.status for row in first.rows}
    assert status["Eye_L"] == FOUND_FALSELY and status["Eye_R"] == "compared"
    assert [(finding.kind, finding.organ) for finding in first.findings] == [(FALSE, "Eye_L")]
    assert [(finding.kind, finding.organ) for finding in second.findings] == [(FAR, "Eye_L"), (FALSE, "Eye_R")]
    assert next(row.centre_mm for row in second.rows if row.organ == "Eye_L") == pytest.approx(10.0, abs=0.5)
    assert {one.organ: one.centre_mm for one in summarise([*first.rows, *second.rows])}["Eye_R"] == 0.0


def test_an_eye_that_is_rightly_not_found(dataset, tmp_path):
    (dataset.folder / "index.json").write_text(json.dumps({"pt_1": {"context": {"Eye_L": 1.0}}}), encoding="utf-8")
    for name in ("data", "label"):
        file = dataset.folder / "pt_1" / f"{name}.nii.gz"
        image = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(image)
        array[array == (VALUES["Eye_L"] if name == "label" else 1000 + 100 * VALUES["Eye_L"])] = (
            0 if name == "label" else 40
        )
        sitk.WriteImage(like(image, array), str(file))
    trial, _ = try_patient(
        Dataset.read(dataset.folder).patients[0], LABELS, ByHu(tmp_path / "made", "Left eye was not found.").as_it_is
    )
    assert {row.organ: row.status for row in trial.rows}["Eye_L"] == ABSENT
    assert trial.findings == []


def test_a_ct_and_a_label_on_two_grids_are_said(dataset, tmp_path):
    _plain, case = try_patient(dataset.patients[0], LABELS, ByHu(tmp_path / "made").as_it_is)
    file = dataset.patients[0].ct
    sitk.WriteImage(sitk.ReadImage(str(file))[:, :, :-1], str(file))
    (row,) = try_variation("noise", case, ByHu(tmp_path / "other").varied, Donors(dataset, LABELS), axial=False).rows
    assert row.status == "failed" and "not on one grid" in row.note


def test_another_patients_eye_in_the_filled_void_is_not_a_false_one(dataset, tmp_path):
    """The first head stops below its eyes, but for specks of them, as blanked CTs keep inside of contours; the tissue
    that fills the void above it holds the other's."""
    (dataset.folder / "index.json").write_text(
        json.dumps({"pt_1": {"context": {"Eye_L": 1.0, "Eye_R": 1.0, "Brainstem": 1.0}}}), encoding="utf-8"
    )
    eyes = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset.folder / "pt_1" / "label.nii.gz"))) >= VALUES["Eye_L"]
    specks = np.zeros_like(eyes)
    specks[tuple(np.argwhere(eyes)[-3:].T)] = True
    for name, blank in (("data", -1000), ("label", 0)):
        file = dataset.folder / "pt_1" / f"{name}.nii.gz"
        image = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(image)
        array[44:][~specks[44:] if name == "data" else ...] = blank
        sitk.WriteImage(like(image, array), str(file))
    _, varied = trials(Dataset.read(dataset.folder), ByHu(tmp_path / "made", "It was not found."), "void-filled")
    assert [row.status for row in varied.rows if row.organ in ("Eye_L", "Eye_R")] == [ABSENT, ABSENT]
    assert varied.findings == []
    eye = sitk.ReadImage(str(tmp_path / "made" / "void-filled" / "pt_1" / "Eye_L.nii.gz"))
    assert sitk.GetArrayFromImage(eye).any(), "the other's eye is there"


@pytest.fixture(scope="module")
def coarse_sample(tmp_path_factory) -> Path:
    """The sample patient as a data set, made coarse to be quick."""
    ct, labelmaps = sample.sample_volume()
    thin = [slice(None, None, 3), slice(None, None, 3), slice(None)]
    folder = tmp_path_factory.mktemp("coarse") / "set"
    (folder / "pt_1").mkdir(parents=True)
    sitk.WriteImage(ct[thin], str(folder / "pt_1" / "data.nii.gz"))
    label = sum(sitk.GetArrayFromImage(labelmaps[name][thin]) * VALUES[name] for name in labelmaps)
    sitk.WriteImage(like(ct[thin], label.astype(np.uint8)), str(folder / "pt_1" / "label.nii.gz"))
    return folder


def test_the_whole_way_through_dicom_and_rtstruct(coarse_sample, tmp_path, capsys):
    """With the network: as a series, varied, and the contours read back; twice the same;
    the labelmaps' figures are the contours'."""
    report, model = tmp_path / "report", tmp_path / "model"
    shutil.copytree(
        network_folder() / "hn_network" / "model", model
    )  # one network all the time, whatever is installed meanwhile
    arguments = ["evaluate", str(coarse_sample), "--labels", "openkbp-eyes", "--model", str(model), "-o", str(report)]
    assert main([*arguments, "--through", "rtstruct", "--variation", "again", "--variation", "reoriented"]) == 0, (
        capsys.readouterr()
    )
    for place in (
        report / "predictions" / "pt_1",
        report / "variations" / "again" / "pt_1",
        report / "variations" / "reoriented" / "pt_1",
    ):
        assert (place / "rtstruct.dcm").is_file()
    with (report / "evaluation.csv").open(encoding="utf-8", newline="") as lines:
        rows = {(row["variation"], row["organ"]): row for row in csv.DictReader(lines)}
    assert (
        rows["", "Brainstem"]["dice"]
        == rows["again", "Brainstem"]["dice"]
        == rows["again", "Brainstem"]["unchanged_dice"]
    )
    text = (report / "evaluation.md").read_text(encoding="utf-8")
    assert "| not the same again | 0 |" in text and "| reoriented | Brainstem | 1 | 0 |" in text
    stored = ["--predictions", str(report / "predictions"), "-o", str(tmp_path / "stored")]
    assert main([*arguments[:4], *stored]) == 0
    with (tmp_path / "stored" / "evaluation.csv").open(encoding="utf-8", newline="") as lines:
        labelmaps = {row["organ"]: row["dice"] for row in csv.DictReader(lines)}
    assert labelmaps["Brainstem"] == rows["", "Brainstem"]["dice"], "the contours are the labelmap's own"


def test_the_number_of_threads_does_not_matter(coarse_sample, tmp_path, own_folders):
    from HNSegmenterLib.pipeline import segment

    one, two = (
        segment(coarse_sample / "pt_1" / "data.nii.gz", tmp_path / str(n), LocalRuntime(threads=n)) for n in (1, 2)
    )
    assert one.labelmaps.keys() == two.labelmaps.keys() and one.labelmaps
    for name, path in one.labelmaps.items():
        a, b = (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0 for file in (path, two.labelmaps[name]))
        assert 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)) >= 0.999, name


def test_variations_need_the_network_and_patients_must_be_there(coarse_sample, tmp_path, capsys):
    arguments = ["evaluate", str(coarse_sample), "--labels", "openkbp-eyes", "-o", str(tmp_path / "report")]
    assert main([*arguments, "--predictions", str(tmp_path), "--variation", "noise"]) == 64
    assert main([*arguments, "--patients", "pt_1,pt_7", "--runtime", "local"]) == 64
    said = capsys.readouterr().err
    assert "segmented anew" in said and "has no patient pt_7" in said
    assert not (tmp_path / "report").exists()
