"""Eyes warped to known shapes: the label is the shape, in its place, and the CT's edge is where the label says."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.evaluation.places import centre
from tools import painted_eyes
from tools.painted_eyes import Outline, paint

MIDDLES = {1: (32.0, -10.0, 5.0), 2: (-32.0, -10.0, 5.0)}
VITREOUS, FAT = 10, -90


def grid(spacing: tuple[float, float, float], half=(70.0, 45.0, 40.0)) -> sitk.Image:
    size = [int(2 * extent / mm) + 1 for extent, mm in zip(half, spacing, strict=True)]
    image = sitk.Image(size, sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetOrigin([-extent for extent in half])
    return image


def ellipsoids(image: sitk.Image, half_axes: tuple[float, float, float]) -> sitk.Image:
    """1 left and 2 right, at MIDDLES."""
    axes = [image.GetOrigin()[n] + np.arange(image.GetSize()[n]) * image.GetSpacing()[n] for n in range(3)]
    labels = np.zeros(image.GetSize()[::-1], np.uint8)
    for value, middle in MIDDLES.items():
        x, y, z = ((axis - at) / half for axis, at, half in zip(axes, middle, half_axes, strict=True))
        labels[x[None, None, :] ** 2 + y[None, :, None] ** 2 + z[:, None, None] ** 2 < 1] = value
    made = sitk.GetImageFromArray(labels)
    made.CopyInformation(image)
    return made


@pytest.fixture(scope="module")
def scene():
    """A CT of eyes 24 mm across in fat, where they are, and larger and longer shapes on another grid,
    at another place."""
    eyes = ellipsoids(grid((1.5, 1.5, 3.0)), (12, 12, 12))
    hu = np.where(sitk.GetArrayViewFromImage(eyes) > 0, VITREOUS, FAT).astype(np.int16)
    ct = sitk.GetImageFromArray(hu)
    ct.CopyInformation(eyes)
    shapes = ellipsoids(grid((1.0, 1.0, 2.5)), (13, 14, 11))
    shapes.SetOrigin([value + 200 for value in shapes.GetOrigin()])
    return ct, eyes, shapes


@pytest.fixture(scope="module")
def painted(scene):
    return paint(*scene)


def from_eyes(image: sitk.Image) -> np.ndarray:
    """mm from every voxel to the nearer eye's middle."""
    k, j, i = np.indices(image.GetSize()[::-1], dtype=np.float32)
    points = np.stack([i, j, k], -1) * image.GetSpacing() + image.GetOrigin()
    return np.min([np.linalg.norm(points - middle, axis=-1) for middle in MIDDLES.values()], axis=0)


def test_the_shapes_lie_where_the_eyes_were(painted):
    ct, labels = painted
    assert ct.GetSize()[:2] == labels.GetSize()[:2] == (512, 512)
    found = sitk.GetArrayFromImage(labels)
    for value, middle in MIDDLES.items():
        mask = found == value
        assert centre(mask, labels) == pytest.approx(middle, abs=0.4)
        size = (np.ptp(np.argwhere(mask), axis=0)[::-1] + 1) * labels.GetSpacing()
        assert size == pytest.approx((26, 28, 22), abs=3.0), "the ends lie between two voxels"
        assert np.count_nonzero(mask) * np.prod(labels.GetSpacing()) == pytest.approx(
            4 / 3 * np.pi * 13 * 14 * 11, rel=0.05
        )


def test_the_edge_in_the_ct_is_the_labels(painted):
    ct, labels = painted
    near = from_eyes(ct) < 22
    eyes = (sitk.GetArrayFromImage(ct) > (VITREOUS + FAT) / 2)[near]
    mask = sitk.GetArrayFromImage(labels)[near] > 0
    assert 2 * np.count_nonzero(eyes & mask) / (np.count_nonzero(eyes) + np.count_nonzero(mask)) >= 0.95


def test_beyond_ten_millimetres_the_ct_is_as_it_was(scene, painted):
    ct, eyes, _ = scene
    plain = sitk.GetArrayFromImage(paint(ct, eyes, eyes)[0])
    far = from_eyes(painted[0]) > 14 + 10 + 1
    assert np.array_equal(plain[far], sitk.GetArrayFromImage(painted[0])[far])
    assert not np.array_equal(plain, sitk.GetArrayFromImage(painted[0]))


def test_an_outline_by_hand():
    image = grid((1.0, 1.0, 1.0))
    mask = sitk.GetArrayFromImage(ellipsoids(image, (10, 12, 8))) == 1
    outline = Outline.of(mask, image, np.array(MIDDLES[1]))
    for way, radius in (
        ((1, 0, 0), 10),
        ((-1, 0, 0), 10),
        ((0, 1, 0), 12),
        ((0, -5, 0), 12),
        ((0, 0, 1), 8),
        ((0, 0, -1), 8),
    ):
        assert outline.at(np.array(way, float)) == pytest.approx(radius, abs=0.7), way


def test_the_command_writes_a_data_set(scene, tmp_path, monkeypatch, capsys):
    ct, eyes, shapes = scene
    for name, image in (("ct.nii.gz", ct), ("eyes.nii.gz", eyes)):
        sitk.WriteImage(image, str(tmp_path / name))
    (tmp_path / "shapes" / "one").mkdir(parents=True)
    sitk.WriteImage(shapes, str(tmp_path / "shapes" / "one" / "label.nii.gz"))
    on = ["--on", str(tmp_path / "ct.nii.gz"), str(tmp_path / "eyes.nii.gz")]
    monkeypatch.setattr(sys, "argv", ["painted_eyes", str(tmp_path / "shapes"), str(tmp_path / "out"), *on])
    painted_eyes.main()
    assert sorted(file.name for file in (tmp_path / "out" / "one").iterdir()) == ["data.nii.gz", "label.nii.gz"]
    assert str(tmp_path / "out" / "one") in capsys.readouterr().out
