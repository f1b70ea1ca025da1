"""Dice, distances and volumes against cases that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from HNSegmenterLib.evaluation.metrics import compare


def box(shape, k, j, i):
    mask = np.zeros(shape, bool)
    mask[k[0] : k[1], j[0] : j[1], i[0] : i[1]] = True
    return mask


def ball(radius, centre=(30, 30, 30), size=61):
    k, j, i = np.indices((size, size, size))
    return (k - centre[0]) ** 2 + (j - centre[1]) ** 2 + (i - centre[2]) ** 2 <= radius**2


def test_equal_masks():
    mask = ball(10)
    agreement = compare(mask, mask, (1, 1, 1))
    assert (agreement.dice, agreement.hd95_mm, agreement.msd_mm) == (1.0, 0.0, 0.0)
    assert (agreement.volume_error_ml, agreement.volume_error_percent) == (0.0, 0.0)


def test_two_voxels():
    first, second = box((5, 5, 9), (2, 3), (2, 3), (1, 2)), box((5, 5, 9), (2, 3), (2, 3), (5, 6))
    agreement = compare(first, second, (0.5, 1, 1))
    assert (agreement.dice, agreement.hd95_mm, agreement.msd_mm) == (0.0, 2.0, 2.0)


@pytest.mark.parametrize(("axis", "expected"), [(0, 3 * 2.5), (1, 3 * 1.5), (2, 3 * 1.0)])
def test_single_slabs_apart_with_anisotropic_spacing(axis, expected):
    """Plates one voxel thick, 3 voxels apart: every distance is that."""
    shape, ends = (12, 12, 12), [[1, 11], [1, 11], [1, 11]]
    ends[axis] = [4, 5]
    first = box(shape, *ends)
    ends[axis] = [7, 8]
    agreement = compare(first, box(shape, *ends), (1.0, 1.5, 2.5))
    assert agreement.hd95_mm == pytest.approx(expected)
    assert agreement.msd_mm == pytest.approx(expected)


def test_shifted_cube_by_hand():
    """A 10-cube moved 2 voxels of 1 mm along i. Of its 488 surface voxels, the two faces across i (100 each) and the
    four walls between: the walls overlap but for their first two columns."""
    first, second = box((20, 20, 20), (5, 15), (5, 15), (4, 14)), box((20, 20, 20), (5, 15), (5, 15), (6, 16))
    agreement = compare(first, second, (1, 1, 1))
    assert agreement.dice == pytest.approx(0.8)
    # face off the other: 100 at 2 mm; ring of 36 next to it: 1 mm; the far face, inside the other but for its rim of
    # 36, which lies in the other's wall: 64 voxels, as far as the other's wall or face,
    # 1 mm for its outer ring of 28, else 2
    mean = (100 * 2 + 36 * 1 + 28 * 1 + 36 * 2) / 488
    assert agreement.msd_mm == pytest.approx(mean)
    assert agreement.hd95_mm == 2.0


def test_balls_of_different_radius():
    agreement = compare(ball(15), ball(20), (1, 1, 1))
    assert agreement.hd95_mm == pytest.approx(5.0, abs=0.6)
    assert agreement.msd_mm == pytest.approx(5.0, abs=0.4)
    assert agreement.dice == pytest.approx(2 * 15**3 / (15**3 + 20**3), abs=0.01)
    assert agreement.volume_error_percent == pytest.approx(100 * ((20 / 15) ** 3 - 1), rel=0.02)


def test_hd95_takes_the_worse_direction():
    """A far island in the prediction, a tenth of its surface: reference to prediction knows nothing of it."""
    reference = box((5, 5, 60), (2, 3), (2, 3), (0, 18))
    predicted = reference | box((5, 5, 60), (2, 3), (2, 3), (47, 49))
    agreement = compare(reference, predicted, (1, 1, 1))
    back = [0.0] * 18 + [30.0, 31.0]
    assert agreement.hd95_mm == pytest.approx(np.percentile(back, 95))
    assert agreement.msd_mm == pytest.approx((0 + np.mean(back)) / 2)


def test_volume_error_and_voxel_size():
    agreement = compare(
        box((10, 20, 20), (0, 10), (0, 10), (0, 10)), box((10, 20, 20), (0, 10), (0, 10), (0, 5)), (2, 2, 2.5)
    )
    assert agreement.reference_ml == pytest.approx(10.0)
    assert agreement.volume_error_ml == pytest.approx(-5.0)
    assert agreement.volume_error_percent == pytest.approx(-50.0)


def test_empty_prediction_has_dice_0_and_no_distance():
    agreement = compare(ball(5), np.zeros((61, 61, 61), bool), (1, 1, 1))
    assert (agreement.dice, agreement.hd95_mm, agreement.msd_mm) == (0.0, None, None)
    assert agreement.volume_error_percent == -100.0


def test_empty_reference_is_refused():
    with pytest.raises(ValueError, match="the reference is empty"):
        compare(np.zeros((61, 61, 61), bool), ball(5), (1, 1, 1))
    with pytest.raises(ValueError, match="the reference is empty"):
        compare(ball(5), ball(5), (1, 1, 1), counted=np.arange(61) < 10)


def test_slices_that_do_not_count_change_nothing():
    reference, predicted = ball(15), ball(15, centre=(30, 33, 30))
    counted = np.abs(np.arange(61) - 30) < 8
    rubbish = predicted.copy()
    rubbish[~counted] = np.random.default_rng(0).random((np.count_nonzero(~counted), 61, 61)) < 0.5
    assert compare(reference, rubbish, (1, 1, 3), counted) == compare(reference, predicted, (1, 1, 3), counted)


def test_the_end_of_what_counts_is_no_surface():
    """A rod that the reference stops, and the prediction does not: on the slices that count they are equal."""
    reference, predicted = box((30, 12, 12), (10, 20), (3, 9), (3, 9)), box((30, 12, 12), (0, 30), (3, 9), (3, 9))
    counted = reference.any(axis=(1, 2))
    agreement = compare(reference, predicted, (1, 1, 3), counted)
    assert (agreement.dice, agreement.hd95_mm, agreement.msd_mm) == (1.0, 0.0, 0.0)
    assert compare(reference, predicted, (1, 1, 3)).hd95_mm > 20
