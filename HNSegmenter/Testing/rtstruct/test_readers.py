"""Independent programs read our RTSTRUCTs: plastimatch, dcmrtstruct2nii, dciodvfy."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.rtstruct import write_rtstruct
from Testing.phantoms import write_ct_series
from Testing.rtstruct.help import (
    NAMES,
    dciodvfy_complaints,
    dcmrtstruct2nii_masks,
    dice,
    digests,
    ellipsoid,
    head_organs,
    labelmap,
    make_ct,
    plastimatch_masks,
    result,
    volume_ml,
)

READERS = {"plastimatch": plastimatch_masks, "dcmrtstruct2nii": dcmrtstruct2nii_masks}
LEAST_DICE, OVER_ML = 0.99, 1.0
PLANNING = (24, 512, 512), (0.9765625, 0.9765625, 3.0)
TRUE_LABELS = {"Eye_L": 1, "Eye_R": 2, "Brainstem": 3, "SpinalCord": 4, "Parotid_L": 5, "Parotid_R": 6}


def assert_read_right(path, ct_folder, ct, labelmaps, out) -> None:
    for reader, read in READERS.items():
        masks = read(path, ct_folder, ct, out / reader)
        for name, image in labelmaps.items():
            overlap = dice(sitk.GetArrayViewFromImage(image), masks[name])
            least = LEAST_DICE if volume_ml(image) > OVER_ML else 0.9
            assert overlap >= least, f"{reader} reads {name} with Dice {overlap:.4f}"


@pytest.fixture(scope="module")
def planning(tmp_path_factory):
    """A CT of 512 x 512 with organs that have all that is awkward: the six names stand for shapes here."""
    folder = tmp_path_factory.mktemp("planning")
    shape, spacing = PLANNING
    ct = make_ct(folder, shape, spacing, origin=(-249.51, -263.512345, -331.75))
    organs = head_organs(ct)
    hollow = sitk.GetArrayFromImage(organs["Brainstem"])
    for place, size in (((0.48, 0.54, 0.6), 0.012), ((0.52, 0.56, 0.55), 0.015), ((0.5, 0.53, 0.65), 0.008)):
        hollow[sitk.GetArrayFromImage(ellipsoid(ct, place, (size, size, 0.15))) > 0] = 0
    organs["Brainstem"] = labelmap(ct, hollow)
    islands = sitk.GetArrayFromImage(organs["Parotid_L"])
    islands[12, 250, 380:384] = islands[12, 251, 384] = islands[12, 252, 385] = 1  # a line and diagonal steps
    islands[13, 300, 300] = 1  # a single voxel
    organs["Parotid_L"] = labelmap(ct, islands)
    rough = sitk.GetArrayFromImage(organs["Parotid_R"])
    rough[np.random.default_rng(1).random(rough.shape) < 0.1] = 0  # pores: many keyholes in one outline
    organs["Parotid_R"] = labelmap(ct, rough)
    touching = np.zeros(rough.shape, np.uint8)
    touching[0, 100:140, 100:140] = np.indices((40, 40)).sum(axis=0) // 4 % 2  # diagonal stripes in the lowest slice
    touching[-1, 0:30, 482:512] = 1  # the image's corner, in the highest
    organs["SpinalCord"] = labelmap(ct, touching)
    return folder, ct, organs


def test_shapes_survive(planning, tmp_path):
    folder, ct, organs = planning
    before = digests(folder)
    report = write_rtstruct(ct, organs, result(), tmp_path / "rtstruct.dcm")
    assert digests(folder) == before, "the CT's files were changed"
    assert report.rois == list(NAMES)
    assert_read_right(report.path, folder, ct, organs, tmp_path)
    assert dciodvfy_complaints(report.path) == []


def test_single_voxels_and_diagonals_are_found_by_every_reader(planning, tmp_path):
    folder, ct, _ = planning
    mask = np.zeros(sitk.GetArrayViewFromImage(ct.image).shape, np.uint8)
    mask[10, 200, 200] = mask[10, 210, 210] = mask[10, 211, 211] = mask[10, 212, 210] = 1
    mask[11, 300:340:2, 300:340] = mask[11, 300:340, 300:340:3] = 1  # a lattice: a hole in every mesh
    organs = {"Eye_L": labelmap(ct, mask)}
    report = write_rtstruct(
        ct, organs, result(**dict.fromkeys(set(NAMES) - {"Eye_L"}, "not found")), tmp_path / "rtstruct.dcm"
    )
    for reader, read in READERS.items():
        assert np.array_equal(read(report.path, folder, ct, tmp_path / reader)["Eye_L"] > 0, mask > 0), reader


ORIENTATIONS = {
    "feet first supine": ((-1, 0, 0, 0, 1, 0), "FFS"),
    "head first prone": ((-1, 0, 0, 0, -1, 0), "HFP"),
    "feet first prone": ((1, 0, 0, 0, -1, 0), "FFP"),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_positions_other_than_head_first_supine(name, tmp_path):
    orientation, position = ORIENTATIONS[name]
    ct = make_ct(
        tmp_path / "ct", (24, 96, 96), (2.5, 2.5, 3.0), orientation=orientation, tags={"PatientPosition": position}
    )
    organs = head_organs(ct)
    report = write_rtstruct(ct, organs, result(), tmp_path / "rtstruct.dcm")
    masks = dcmrtstruct2nii_masks(report.path, tmp_path / "ct", ct, tmp_path / "read")
    for organ, image in organs.items():
        assert dice(sitk.GetArrayViewFromImage(image), masks[organ]) >= LEAST_DICE
    assert dciodvfy_complaints(report.path) == []


def test_oblique_slices(tmp_path):
    orientation = (0.96, 0.28, 0, -0.28 * 0.8, 0.96 * 0.8, 0.6)
    ct = make_ct(tmp_path / "ct", (24, 96, 96), (2.5, 2.5, 3.0), orientation=orientation)
    organs = head_organs(ct)
    report = write_rtstruct(ct, organs, result(), tmp_path / "rtstruct.dcm")
    assert any("most planning systems refuse" in sentence for sentence in ct.warnings)
    masks = dcmrtstruct2nii_masks(report.path, tmp_path / "ct", ct, tmp_path / "read")
    for organ, image in organs.items():
        assert dice(sitk.GetArrayViewFromImage(image), masks[organ]) >= LEAST_DICE
    assert dciodvfy_complaints(report.path) == []


@pytest.mark.parametrize("scan", ["0522c0251", "TCGA-CV-7245"])
def test_real_shapes(scan, real_data, tmp_path):
    """A radiation oncologist's contours, on a CT painted around them."""
    path = real_data / "tcia-labels" / scan / "label.nii.gz"
    if not path.is_file():
        pytest.skip("real organ shapes are not on this machine (HNSEG_DATA)")
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    labels = sitk.GetArrayFromImage(image)
    write_ct_series(tmp_path / "ct", np.where(labels > 0, 40, -1000), image.GetSpacing(), image.GetOrigin())
    ct = read_planning_ct(tmp_path / "ct")
    organs = {name: labelmap(ct, labels == value) for name, value in TRUE_LABELS.items()}
    report = write_rtstruct(ct, organs, result(), tmp_path / "rtstruct.dcm")
    assert_read_right(report.path, tmp_path / "ct", ct, organs, tmp_path)
    assert dciodvfy_complaints(report.path) == []
