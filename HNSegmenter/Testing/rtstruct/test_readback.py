"""Contours filled again: against pixels drawn by hand, an independent polygon test,
and independent programs' readings."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib.rtstruct import Options, Roi, agreement, build, complete, trace, write, write_rtstruct
from HNSegmenterLib.rtstruct.readback import fill
from Testing.rtstruct.help import contains, dcmrtstruct2nii_masks, dice, head_organs, labelmap, make_ct, result

SHAPE, SPACING = (24, 96, 96), (2.5, 2.5, 3.0)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct") / "series", SHAPE, SPACING, origin=(-118.71, -130.123456, -40.777))


def test_pixels_are_inside_by_their_centres():
    square = np.array([[0.5, 1.5], [3.5, 1.5], [3.5, 2.5], [0.5, 2.5]])
    filled = fill([square], (5, 6))
    assert np.argwhere(filled).tolist() == [[2, 1], [2, 2], [2, 3]]
    assert not fill([], (5, 6)).any()
    beyond = fill([square * 4 - 8], (5, 6))  # from (-6, -2) to (6, 2)
    assert np.argwhere(beyond).tolist() == [[row, column] for row in (0, 1) for column in range(6)]


def test_any_star_is_filled_as_the_point_in_polygon_test_says():
    random = np.random.default_rng(5)
    for _ in range(20):
        angle = np.sort(random.uniform(0, 2 * np.pi, 30))
        reach = random.uniform(3, 20, 30)
        ring = np.column_stack([20 + reach * np.cos(angle), 15 + reach * np.sin(angle)])
        rows, columns = np.indices((32, 40))
        expected = contains(ring, np.column_stack([columns.ravel(), rows.ravel()])).reshape(32, 40)
        np.testing.assert_array_equal(fill([ring], (32, 40)), expected)


def test_traced_contours_enclose_exactly_their_labelmaps(ct, tmp_path):
    drawn = head_organs(ct)
    hollow = sitk.GetArrayFromImage(drawn["Brainstem"])
    hollow[:, 52:54, 47:49] = 0
    drawn["Brainstem"] = labelmap(ct, hollow)
    write_rtstruct(ct, drawn, result(), tmp_path / "rtstruct.dcm")
    assert agreement(pydicom.dcmread(tmp_path / "rtstruct.dcm"), ct, drawn) == dict.fromkeys(drawn, 1.0)


def test_a_difference_is_measured_as_another_program_measures_it(ct, tmp_path):
    drawn = head_organs(ct)
    path = tmp_path / "rtstruct.dcm"
    write(complete(build(ct, [Roi("Eye_L", None, trace(ct, drawn["Eye_L"]))]), ct, None, [], Options()), path)
    moved = labelmap(ct, np.roll(sitk.GetArrayFromImage(drawn["Eye_L"]), 2, axis=2))
    measured = agreement(pydicom.dcmread(path), ct, {"Eye_L": moved, "Eye_R": drawn["Eye_R"]})
    theirs = dcmrtstruct2nii_masks(path, ct.slices[0].path.parent, ct, tmp_path / "read")["Eye_L"]
    assert measured["Eye_L"] == pytest.approx(dice(theirs, sitk.GetArrayFromImage(moved)), abs=0.03)
    assert 0.3 < measured["Eye_L"] < 0.95
    assert measured["Eye_R"] == 0.0
