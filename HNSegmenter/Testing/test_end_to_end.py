"""The whole way on the sample patient and, where they are at hand, on real CTs;
both runtimes, another model, privacy."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib import pipeline, sample
from HNSegmenterLib.checks import LOOKS
from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.rtstruct.rois import REVIEW
from HNSegmenterLib.runtimes import choose
from HNSegmenterLib.sample.score import score
from HNSegmenterLib.sample.series import sample_patient, write_series
from HNSegmenterLib.service.worker.body_region import unlikely
from Testing.machine import DATA
from Testing.phantoms import nifti_to_series
from Testing.rtstruct.help import (
    dciodvfy_complaints,
    dcmrtstruct2nii_masks,
    dice,
    digests,
    plastimatch_masks,
    volume_ml,
)

LEAST_DICE = 0.7
ORGANS = ["Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R"]


@pytest.fixture(scope="module")
def sample_series(tmp_path_factory) -> Path:
    return sample.write_dicom(tmp_path_factory.mktemp("sample") / "ct")


@pytest.fixture(scope="module")
def outcome(sample_series, tmp_path_factory):
    """The sample patient, segmented on this computer; with it the digests of its files before and after."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HNSEG_JOBS", str(folder / "jobs"))
        patch.setenv("HNSEG_SETTINGS", str(folder / "settings.json"))
        before = digests(sample_series)
        outcome = pipeline.segment(sample_series, folder / "out", choose("local"))
    assert digests(sample_series) == before, "the CT's files were touched"
    assert list((folder / "jobs").iterdir()) == []
    return outcome


def test_the_network_finds_the_known_organs_of_the_sample(outcome):
    scores = score(outcome.labelmaps)
    assert list(scores) == ORGANS
    assert min(scores.values()) >= LEAST_DICE, scores


def test_the_rtstruct_refers_to_the_original_series(outcome, sample_series):
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in sample_series.iterdir()]
    rtstruct = pydicom.dcmread(outcome.rtstruct)
    assert [roi.ROIName for roi in rtstruct.StructureSetROISequence] == ORGANS
    assert rtstruct.StudyInstanceUID == slices[0].StudyInstanceUID
    assert {roi.ReferencedFrameOfReferenceUID for roi in rtstruct.StructureSetROISequence} == {
        slices[0].FrameOfReferenceUID
    }
    known = {image.SOPInstanceUID: float(image.ImagePositionPatient[2]) for image in slices}
    for roi in rtstruct.ROIContourSequence:
        for contour in roi.ContourSequence:
            (image,) = contour.ContourImageSequence
            assert float(contour.ContourData[2]) == pytest.approx(known[image.ReferencedSOPInstanceUID], abs=0.01)


def test_the_rtstruct_passes_dciodvfy(outcome):
    assert dciodvfy_complaints(outcome.rtstruct) == []


def test_labelmaps_lie_on_the_ct(outcome, sample_series):
    ct = read_planning_ct(sample_series).image
    for path in outcome.labelmaps.values():
        labelmap = sitk.ReadImage(str(path))
        assert labelmap.GetSize() == ct.GetSize()
        assert np.allclose(labelmap.GetOrigin(), ct.GetOrigin(), atol=1e-3)
        assert np.allclose(labelmap.GetDirection(), ct.GetDirection(), atol=1e-5)
        assert set(np.unique(sitk.GetArrayViewFromImage(labelmap))) == {0, 1}


def test_nifti_gives_the_same_organs_and_says_why_there_is_no_rtstruct(outcome, sample_series, tmp_path):
    nifti = tmp_path / "ct.nii.gz"
    sitk.WriteImage(read_planning_ct(sample_series).image, str(nifti))
    other = pipeline.segment(nifti, tmp_path / "out", choose("local"))
    assert other.rtstruct is None and not (tmp_path / "out" / "rtstruct.dcm").exists()
    assert any("NIfTI" in warning for warning in other.result.warnings)
    for name, path in outcome.labelmaps.items():
        assert np.array_equal(voxels(path), voxels(other.labelmaps[name])), name


FEET_FIRST, PRONE = (
    np.s_[::-1, :, ::-1],
    np.s_[:, ::-1, ::-1],
)  # of [k, j, i]: turned about the vertical, and the long axis


@pytest.mark.parametrize(
    ("turn", "said"), [(FEET_FIRST, "upside down"), (PRONE, "front to back")], ids=["called feet first", "called prone"]
)
def test_a_patient_scanned_otherwise_than_the_tag_says_is_told_before_all_else(turn, said, sample_series, tmp_path):
    ct = read_planning_ct(sample_series).image
    turned = sitk.GetImageFromArray(np.ascontiguousarray(sitk.GetArrayViewFromImage(ct)[turn]))
    turned.CopyInformation(ct)
    series = write_series(turned, tmp_path / "ct", sample_patient(0))
    events = []
    outcome = pipeline.segment(series, tmp_path / "out", choose("local"), emit=events.append)
    first = outcome.result.warnings[0]
    assert first.startswith(LOOKS) and said in first
    assert next(event.message for event in events if event.kind == "warning") == first
    sentences = " ".join(sentence for organ in outcome.result.organs for sentence in organ.checks)
    assert not any(
        words in sentences for words in ("half of the patient", "beyond the plausible", "should reach it", "overlap")
    )
    assert unlikely(outcome.result.organs, outcome.result.warnings) == first
    assert pydicom.dcmread(outcome.out / "rtstruct.dcm").StructureSetDescription.split("\r\n")[:2] == [REVIEW, first]


def voxels(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


@pytest.mark.docker
def test_docker_and_this_computer_give_identical_labelmaps(outcome, sample_series, our_image, tmp_path):
    other = pipeline.segment(sample_series, tmp_path / "out", choose("docker", image=our_image))
    assert other.result.runtime["where"] == "docker" and our_image in other.result.runtime["why"]
    assert other.result.model == outcome.result.model
    assert other.labelmaps.keys() == outcome.labelmaps.keys()
    for name, path in outcome.labelmaps.items():
        assert np.array_equal(voxels(path), voxels(other.labelmaps[name])), name


@pytest.mark.docker
def test_an_image_with_other_organs_needs_no_change_of_the_client(sample_series, two_organ_image, tmp_path):
    outcome = pipeline.segment(sample_series, tmp_path / "out", choose("docker", image=two_organ_image))
    assert [organ.name for organ in outcome.result.organs] == ["Bone_Mandible", "Brain"]
    names = [roi.ROIName for roi in pydicom.dcmread(outcome.rtstruct).StructureSetROISequence]
    assert names == ["Bone_Mandible", "Brain"] and outcome.overview.stat().st_size > 10_000


@pytest.mark.docker
def test_auto_takes_docker_with_our_image_and_says_so(our_image):
    from HNSegmenterLib.settings import Settings

    assert choose("auto", Settings(image=our_image)).name == "docker"
    local = choose("auto", Settings(image="nobody/has-this:image"))
    assert local.name == "local" and "nobody/has-this:image" in local.describe()
    local = choose("auto", Settings(docker_host="unix:///nowhere/docker.sock"))
    assert local.name == "local" and "nowhere" in local.describe()


def test_demo_ends_with_table_figures_and_paths(tmp_path):
    command = [sys.executable, "-m", "HNSegmenterLib", "demo", "-o", str(tmp_path / "out"), "--runtime", "local"]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"}, check=False)
    assert run.returncode == 0 and run.stderr == "", run.stderr
    for said in (
        "Dice",
        "prove",
        "Parotid_L",
        str(tmp_path / "out" / "rtstruct.dcm"),
        str(tmp_path / "out" / "overview.png"),
        "review",
    ):
        assert said in run.stdout


def real_patients() -> list[str]:
    """One of the validation patients; with HNSEG_ALL_PATIENTS=1 all of them (some minutes)."""
    folder = DATA / "openkbp" / "validation"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else ["none here"]
    return names if os.environ.get("HNSEG_ALL_PATIENTS") else names[:1]


@pytest.mark.parametrize("patient", real_patients())
def test_a_real_patient_ends_well_and_others_read_the_same_organs(patient, real_data, tmp_path):
    """As a DICOM series, through to the RTSTRUCT; plastimatch and dcmrtstruct2nii read it back."""
    series = tmp_path / "ct"
    nifti_to_series(real_data / "openkbp" / "validation" / patient / "data.nii.gz", series)
    before = digests(series)
    try:
        outcome = pipeline.segment(series, tmp_path / "out", choose("local"))
    except UnusableInput as refusal:
        pytest.fail(f"refused: {refusal.sentence}")
    assert digests(series) == before
    assert dciodvfy_complaints(outcome.rtstruct) == []
    ct = read_planning_ct(series)
    for read in (plastimatch_masks, dcmrtstruct2nii_masks):
        masks = read(outcome.rtstruct, series, ct, tmp_path / read.__name__)
        for name, path in outcome.labelmaps.items():
            labelmap = sitk.ReadImage(str(path))
            least = 0.99 if volume_ml(labelmap) > 1 else 0.9
            assert dice(sitk.GetArrayViewFromImage(labelmap), masks[name]) >= least, (read.__name__, name)
    statuses = {organ.name: organ.status for organ in outcome.result.organs}
    print(patient, statuses, outcome.result.warnings, {o.name: o.checks for o in outcome.result.organs if o.checks})
