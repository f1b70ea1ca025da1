"""A folder of CTs and structure sets, as planning systems export them, as training data."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import PlanningCT, read_planning_ct
from HNSegmenterLib.rtstruct import NameTable, pair, write_rtstruct
from HNSegmenterLib.sample import sample_volume
from Testing.phantoms import head_phantom, write_ct_series
from Testing.rtstruct.help import NAMES, head_organs, labelmap, result
from Testing.service.collecting.scanning import leaked, tokens
from Testing.service.review_help import command_line
from Testing.service.serving import identity

SPACING = (4.0, 4.0, 2.5)
SMALL, COARSE = (24, 64, 64), (4.0, 4.0, 4.0)
OWN = {name: f"Organ {name.lower()}" for name in NAMES}


@cache
def head() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The sample patient, coarse, and the organs, whose contours pass the checks."""
    image, organs = sample_volume(0)
    return (
        sitk.GetArrayFromImage(image)[:, ::4, ::4],
        {name: sitk.GetArrayFromImage(mask)[:, ::4, ::4] for name, mask in organs.items()},
    )


def export(folder: Path, number: int, sound: bool = False, own: bool = True) -> PlanningCT:
    """CT and structure set of a patient, in a folder each, with secrets in everything that can hold a text.

    sound: whose contours pass the checks; else a small phantom.
    """
    hu, spacing = (head()[0], SPACING) if sound else (head_phantom(SMALL, COARSE), COARSE)
    write_ct_series(folder / "ct", hu, spacing, patient=identity(number))
    ct = read_planning_ct(folder / "ct")
    labelmaps = {name: labelmap(ct, mask) for name, mask in head()[1].items()} if sound else head_organs(ct)
    (folder / "rs").mkdir()
    write_rtstruct(ct, labelmaps, result(), folder / "rs" / "set.dcm", NameTable(OWN) if own else None)
    change(folder, lambda dataset: setattr(dataset, "StructureSetName", f"Secretset{number:03d}"))
    return ct


def change(folder: Path, how) -> None:
    path = folder / "rs" / "set.dcm"
    dataset = pydicom.dcmread(path)
    how(dataset)
    dataset.save_as(path)


def strangers(dataset) -> None:
    """As another planning system: no reference to the series, a target, a point, nothing said of who drew it."""
    del dataset.ReferencedFrameOfReferenceSequence
    rois = {roi.name: roi for roi in pair(dataset).rois}
    dataset.FrameOfReferenceUID = rois[OWN["Eye_L"]].item.ReferencedFrameOfReferenceUID
    rois[OWN["Eye_L"]].item.ROIName = "PTV Secretname002"
    rois[OWN["Eye_R"]].item.ROIName = "ISO"
    rois[OWN["Eye_R"]].drawn[0].ContourSequence[0].ContourGeometricType = "OPEN_PLANAR"
    for roi in rois.values():
        roi.item.ROIGenerationAlgorithm = ""


def interrupted(dataset) -> None:
    """Every second slice of the cord alone."""
    cord = next(roi for roi in pair(dataset).rois if roi.name == OWN["SpinalCord"])
    cord.drawn[0].ContourSequence = list(cord.drawn[0].ContourSequence)[::2]


def collect(source: Path, out: Path, *more, code: int = 0) -> dict:
    table = out.parent / "names.json"
    table.write_text(json.dumps(OWN))
    done = command_line("node", "collect", "--from", source, "--names", table, "--out", out, *more, "--json")
    assert done.returncode == code, (done.stdout, done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {**lines[-1], "said": " ".join(line["message"] for line in lines if line["event"] == "message")}


def test_sound_patients_are_taken_and_the_others_named_with_the_reason(tmp_path):
    source, out, key = tmp_path / "export", tmp_path / "DATA", tmp_path / "key.json"
    uids = {}
    for number, how in ((1, None), (2, strangers), (3, interrupted), (4, None), (5, None), (6, None)):
        uids[number] = export(source / str(number), number, sound=number < 3).series_uid
        if how:
            change(source / str(number), how)
    shutil.rmtree(source / "4" / "ct")
    shutil.copy(source / "5" / "rs" / "set.dcm", source / "5" / "rs" / "second.dcm")
    sorted((source / "6" / "ct").iterdir())[9].unlink()
    answer = collect(source, out, "--key", key)
    kept = {origin["series_uid"]: name for name, origin in json.loads(key.read_text()).items()}
    assert set(kept) == {uids[1], uids[2]}
    reasons = {one["series_uid"]: one["reason"] for one in answer["left_out"]}
    assert "Spinal cord is in 6 separate pieces" in reasons[uids[3]], "the checks find it odd"
    assert reasons[""] == "Its CT is not in the folder."
    assert "Several structure sets" in reasons[uids[5]]
    assert "1 slice is missing" in reasons[uids[6]], "its CT cannot be read"
    assert "PTV Secretname002 (1)" in answer["said"] and "ISO (1)" in answer["said"]

    index = json.loads((out / "index.json").read_text())
    first, second = index[kept[uids[1]]], index[kept[uids[2]]]
    assert set(first["context"]) == set(NAMES) and set(second["context"]) == set(NAMES) - {"Eye_L", "Eye_R"}
    assert first["organs"]["Brainstem"] == {"algorithm": "AUTOMATIC"} and second["organs"] == {}
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "patients" / kept[uids[1]] / "clinic.nii.gz")))
    for name, mask in head()[1].items():
        assert np.array_equal(values == answer["labels"][name], mask > 0), name

    files = [*source.rglob("*/rs/*.dcm"), *(source / "1" / "ct").iterdir(), *(source / "2" / "ct").iterdir()]
    secrets = tokens(files, keep=set(NAMES)) | {str(tmp_path)} | set(uids.values())
    assert {"Secretname002", "PTV Secretname002", "Secretset001", "TEST-SECRETID-001"} <= secrets
    assert leaked(secrets, out) == []


def test_two_cts_of_one_patient_do_not_both_teach(tmp_path):
    """Else one would be scored by a model that learnt the other."""
    for number in (1, 2):
        export(tmp_path / "export" / str(number), 7)
    answer = collect(tmp_path / "export", tmp_path / "DATA", "--despite-checks")
    assert answer["patients"] == ["pt_0001"]
    assert [one["reason"] for one in answer["left_out"]] == ["Another CT of the same patient is collected already."]


def test_a_structure_set_of_another_patient_is_not_believed(tmp_path):
    export(tmp_path / "export", 1, own=False)
    change(tmp_path / "export", lambda dataset: setattr(dataset, "PatientID", "TEST-0002"))
    answer = collect(tmp_path / "export", tmp_path / "DATA", code=2)
    assert "another patient" in answer["message"] and not (tmp_path / "DATA").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "DATA"], "Say where from"),
        (["--out", "full", "--from", "empty"], "holds no structure set"),
        (["--out", "full/DATA", "--from", "empty", "--reviewer", "A"], "filters are for the node"),
    ],
)
def test_wrong_usage(tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    words = [tmp_path / word if word in ("empty", "full", "DATA", "full/DATA") else word for word in words]
    done = command_line("node", "collect", *words)
    assert done.returncode in (2, 64) and said in done.stderr


def test_key_and_collection_stay_apart_and_nothing_is_overwritten(tmp_path):
    export(tmp_path / "export", 1)
    out = tmp_path / "DATA"
    assert "anywhere but into" in collect(tmp_path / "export", out, "--key", out / "key", code=64)["message"]
    (tmp_path / "mine").write_text("mine")
    assert "exists" in collect(tmp_path / "export", out, "--key", tmp_path / "mine", code=64)["message"]
    out.mkdir()
    (out / "mine").write_text("mine")
    assert "is not empty" in collect(tmp_path / "export", out, code=64)["message"]
    assert [path.name for path in out.iterdir()] == ["mine"]
