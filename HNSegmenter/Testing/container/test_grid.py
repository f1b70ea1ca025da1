"""The same patient on any grid gives the same organs, on exactly that grid, and never swaps sides."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from Testing.container.phantoms import BALLS, LPS, dice, inside, predict, write_ct, write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


def axes(code: str) -> np.ndarray:
    """Directions (3, 3), columns i, j, k in RAS, of an orientation such as "LAS"."""
    return nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(code), (1, 1, 1))[:3, :3]


def turned(axis: int, degrees: float, directions: np.ndarray = LPS) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rotation = np.eye(3)
    a, b = [n for n in range(3) if n != axis]
    rotation[a, a], rotation[a, b], rotation[b, a], rotation[b, b] = c, -s, s, c
    return rotation @ directions


GRIDS = {
    **{code: {"directions": axes(code)} for code in ("LPS", "RAS", "LAS", "RPI", "PIR", "SAL", "ASL")},
    "turned 3 degrees": {"directions": turned(2, 3)},
    "turned 12 degrees": {"directions": turned(0, 12)},
    "turned 30 degrees, coronal": {"directions": turned(1, 30, axes("LSA"))},
    "fine, thick slices": {"shape": (180, 180, 50), "spacing": (1.2, 1.3, 5.0)},
    "coarse": {"shape": (46, 52, 90), "spacing": (5.0, 5.0, 2.5)},
}


@pytest.mark.parametrize("name", GRIDS)
def test_organs_are_where_they_are_on_exactly_the_inputs_grid(name, model, tmp_path):
    ct = tmp_path / "ct.nii.gz"
    _, points = write_ct(ct, **GRIDS[name])
    run = predict("--path", ct, "--output", tmp_path / "out", "--model", model)
    assert run.returncode == 0, run.stderr
    image = sitk.ReadImage(str(ct))
    for organ, (_, centre, _) in BALLS.items():
        file = tmp_path / "out" / f"{organ}.nii.gz"
        found = np.asarray(nib.load(file).dataobj)
        assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 1}
        assert dice(found == 1, inside(organ, points)) > 0.75, organ
        assert np.allclose(points[found == 1].mean(axis=0), centre, atol=0.3 * max(image.GetSpacing())), organ
        labelmap = sitk.ReadImage(str(file))
        for read in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(labelmap, read)() == getattr(image, read)(), read
    said = json.loads((tmp_path / "out" / "result.json").read_text())["input"]
    assert said["size"] == list(image.GetSize()) and said["spacing_mm"] == pytest.approx(image.GetSpacing(), abs=1e-5)


def test_flipped_and_permuted_files_hold_the_same_labelmap(model, tmp_path):
    """One CT stored in another order of axes: every voxel of the patient gets the same label."""
    write_ct(tmp_path / "a.nii", directions=axes("LPS"))
    image = nib.load(tmp_path / "a.nii")
    reference = None
    for code in ("LPS", "RAS", "SRA", "PIR"):
        to = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(code))
        nib.save(image.as_reoriented(to), tmp_path / "b.nii")
        assert predict("--path", tmp_path / "b.nii", "--output", tmp_path / "out", "--model", model).returncode == 0
        labels = nib.as_closest_canonical(nib.load(tmp_path / "out" / "Parotid_L.nii.gz")).dataobj
        reference = np.asarray(labels) if reference is None else reference
        assert np.array_equal(reference, labels), code


def test_sform_without_qform_and_the_other_way_round(model, tmp_path):
    write_ct(tmp_path / "ct.nii")
    for sform, qform in ((1, 0), (0, 1)):
        image = nib.load(tmp_path / "ct.nii")
        image.header["sform_code"], image.header["qform_code"] = sform, qform
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), None, image.header), tmp_path / "one.nii")
        run = predict("--path", tmp_path / "one.nii", "--output", tmp_path / "out", "--model", model)
        assert run.returncode == 0, run.stderr
        image, labelmap = (sitk.ReadImage(str(tmp_path / f)) for f in ("one.nii", "out/Eye_R.nii.gz"))
        for read in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(labelmap, read)() == getattr(image, read)()
