"""Contours as voxels of the CT's image again: what they enclose, no more and no less, and where it lies."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.rtstruct import placed, trace
from HNSegmenterLib.rtstruct.filled import filled
from Testing.phantoms import slice_positions
from Testing.rtstruct.help import drawing, ellipsoid, head_organs, make_ct, square

SHAPE, SPACING = (24, 64, 64), (4.0, 4.0, 4.0)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def test_what_was_traced_is_the_labelmap_again(tmp_path):
    """Also on axes that are not the patient's, for it is counted in the image's own voxels."""
    turned = (0.96, 0.28, 0.0, -0.28, 0.96, 0.0)
    for name, orientation in (("upright", (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), ("turned", turned)):
        ct = make_ct(tmp_path / name, orientation=orientation)
        for organ in head_organs(ct).values():
            assert np.array_equal(filled(trace(ct, organ), ct), sitk.GetArrayFromImage(organ) != 0)


def test_a_hole_is_a_hole(tmp_path):
    ct = make_ct(tmp_path / "ct")
    rings = [square(ct, 5, (20, 20), (40, 40)), square(ct, 5, (25, 25), (35, 35))]
    mask = filled(placed(drawing(("Brain", rings)), ct)["Brain"], ct)
    assert mask[5, 22, 30] and not mask[5, 30, 30] and set(np.flatnonzero(mask.any(axis=(1, 2)))) == {5}


@pytest.mark.parametrize("name", ["tilted", "uneven"])
def test_on_a_resampled_image_it_lies_where_the_organ_does(tmp_path, name):
    positions = slice_positions(SHAPE[0], SPACING[2], (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    if name == "tilted":
        positions[:, 1] += np.arange(SHAPE[0]) * 1.3
    else:
        positions[12:, 2] += np.arange(12) * 2.0
    ct = make_ct(tmp_path / "ct", positions=positions)
    assert ct.resampled
    organ = ellipsoid(ct, (0.55, 0.45, 0.5), (0.15, 0.12, 0.25))
    again = filled(trace(ct, organ), ct)
    assert dice(again, sitk.GetArrayFromImage(organ) != 0) > 0.95
    assert again.shape == ct.image.GetSize()[::-1]
