"""Contours against the masks they were drawn around: exact where the grid is the slices', close where it is not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.errors import RuntimeFault
from HNSegmenterLib.rtstruct import trace
from HNSegmenterLib.rtstruct.tracing import contours as tracing
from HNSegmenterLib.rtstruct.tracing.contours import encode, rounded
from HNSegmenterLib.rtstruct.tracing.overlaps import arrange, own_areas
from HNSegmenterLib.rtstruct.tracing.planes import to_pixels
from HNSegmenterLib.rtstruct.tracing.polygons import keyhole, signed_area, without_collinear
from Testing.phantoms import slice_positions
from Testing.rtstruct.help import contains, ellipsoid, labelmap, make_ct

SHAPE = (20, 66, 70)


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct"), SHAPE, (3.9, 4.1, 4.0), origin=(-120.37, -131.123456, -40.777))


def rasterised(ct, contours) -> np.ndarray:
    """Pixel centres inside an odd number of a slice's contours, [slice, row, column]."""
    rows, columns = ct.slices[0].rows, ct.slices[0].columns
    row, column = np.indices((rows, columns))
    centres = np.column_stack([column.ravel(), row.ravel()]).astype(float)
    index = {slice_.sop_instance_uid: k for k, slice_ in enumerate(ct.slices)}
    masks = np.zeros((len(ct.slices), rows, columns), bool)
    for contour in contours:
        k = index[contour.sop_instance_uid]
        pixels, distance = to_pixels(ct.slices[k], contour.points)
        assert np.abs(distance).max() <= 0.01
        masks[k] ^= contains(pixels, centres).reshape(rows, columns)
    return masks


def assert_sound(contours) -> None:
    for contour in contours:
        points = contour.points
        assert len(points) >= 3
        assert np.array_equal(points, np.round(points, 2))
        assert (points != np.roll(points, 1, axis=0)).any(axis=1).all(), "a point is repeated"
        assert rounded(points) is not None, "no area"
        assert len(encode(points)) <= 65_534


@pytest.mark.parametrize("density", [0.02, 0.3, 0.5, 0.7, 0.97])
def test_any_mask_is_enclosed_exactly(ct, density):
    """Noise has every awkward thing: holes in holes, diagonal neighbours, single voxels, voxels at the image's edge."""
    mask = np.zeros(SHAPE, bool)
    mask[[0, 7, 19]] = np.random.default_rng(3).random((3, *SHAPE[1:])) < density
    contours = trace(ct, labelmap(ct, mask))
    assert_sound(contours)
    assert np.array_equal(rasterised(ct, contours), mask)


def test_islands_are_separate_and_holes_are_keyholes(ct):
    mask = np.zeros(SHAPE, bool)
    mask[5, 10:30, 10:30] = True
    mask[5, 14:17, 14:17] = mask[5, 20:26, 13:26] = False
    mask[5, 22:24, 18:20] = True  # an island in the hole
    mask[5, 40, 40] = True  # one voxel
    mask[5, 50, 50] = mask[5, 51, 51] = True  # touching by a corner
    contours = trace(ct, labelmap(ct, mask))
    assert_sound(contours)
    assert len(contours) == 5
    assert np.array_equal(rasterised(ct, contours), mask)


def test_no_contour_touches_itself_but_at_keyholes(ct):
    mask = np.zeros(SHAPE, bool)
    mask[3] = np.random.default_rng(5).random(SHAPE[1:]) < 0.35
    for contour in trace(ct, labelmap(ct, mask)):
        unique = np.unique(contour.points, axis=0)
        bridges = len(contour.points) - len(unique)
        pixels = to_pixels(ct.slices[3], contour.points)[0]
        holes = _holes_inside(mask[3], pixels)
        assert bridges <= 2 * holes


def _holes_inside(mask: np.ndarray, outline: np.ndarray) -> int:
    """8-connected patches of background inside the outer part of an outline."""
    from scipy.ndimage import label

    patches, _count = label(~np.pad(mask, 1), structure=np.ones((3, 3)))
    low, high = np.floor(outline.min(axis=0)).astype(int), np.ceil(outline.max(axis=0)).astype(int)
    window = patches[low[1] + 1 : high[1] + 2, low[0] + 1 : high[0] + 2]
    return len(set(np.unique(window)) - {0, patches[0, 0]})


def test_an_empty_labelmap_has_no_contours(ct):
    assert trace(ct, labelmap(ct, np.zeros(SHAPE))) == []


def test_a_labelmap_on_another_grid_is_refused(ct):
    other = labelmap(ct, np.ones(SHAPE))
    other.SetOrigin([value + 1 for value in ct.image.GetOrigin()])
    with pytest.raises(RuntimeFault, match="not on the CT's grid"):
        trace(ct, other)
    with pytest.raises(RuntimeFault, match="not on the CT's grid"):
        trace(ct, labelmap(ct, np.ones(SHAPE))[:, :, 1:])


def test_a_contour_too_long_for_explicit_vr_is_divided(ct, monkeypatch):
    """A comb of one-voxel teeth needs more bytes than a limit of 2,000 allows."""
    mask = np.zeros(SHAPE, bool)
    mask[4, 5:60, 5:60:2] = True
    mask[4, 5, 5:60] = True
    monkeypatch.setattr(tracing, "LONGEST_VALUE", 2_000)
    contours = trace(ct, labelmap(ct, mask))
    assert len(contours) > 1
    assert max(len(encode(contour.points)) for contour in contours) <= 2_000
    assert np.array_equal(rasterised(ct, contours), mask)


ORIENTATIONS = {
    "feet first supine": (-1, 0, 0, 0, 1, 0),
    "head first prone": (-1, 0, 0, 0, -1, 0),
    "feet first prone": (1, 0, 0, 0, -1, 0),
    "oblique": (0.96, 0.28, 0, -0.28 * 0.8, 0.96 * 0.8, 0.6),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_any_orientation_is_enclosed_exactly(name, tmp_path):
    ct = make_ct(tmp_path, SHAPE, orientation=ORIENTATIONS[name], origin=(31.5, -77.25, 12.125))
    mask = sitk.GetArrayFromImage(ellipsoid(ct, (0.6, 0.4, 0.3), (0.2, 0.1, 0.2)))
    mask[5, 30, 20] = 1
    contours = trace(ct, labelmap(ct, mask))
    assert_sound(contours)
    assert np.array_equal(rasterised(ct, contours), mask > 0)


def in_ball(points: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    return np.linalg.norm(points - centre, axis=-1) <= radius


@pytest.mark.parametrize("name", ["tilted", "uneven"])
def test_a_resampled_series_is_contoured_on_its_real_slices(name, tmp_path):
    """A ball keeps its place in space: 25 mm radius, 2 mm pixels."""
    spacing, shape = (2.0, 2.0, 3.0), (34, 96, 96)
    if name == "tilted":
        positions = slice_positions(shape[0], spacing[2], shear=(0, 3.0 * np.tan(np.radians(12)), 0))
    else:
        depths = np.cumsum([0.0, *([3.0] * 14), *([2.0] * 10), *([5.0] * 9)])
        positions = depths[:, None] * np.array([[0.0, 0.0, 1.0]])
    ct = make_ct(tmp_path, shape, spacing, positions=positions)
    assert ct.resampled
    centre, radius = np.array([90.0, 110.0, 50.0]), 25.0
    size = ct.image.GetSize()
    k, j, i = np.indices(size[::-1])
    corner, axes = (
        np.array(ct.image.GetOrigin()),
        np.array(ct.image.GetDirection()).reshape(3, 3) * ct.image.GetSpacing(),
    )
    grid = corner + np.stack([i, j, k], axis=-1) @ axes.T
    contours = trace(ct, labelmap(ct, in_ball(grid, centre, radius)))
    assert_sound(contours)
    uids = [slice_.sop_instance_uid for slice_ in ct.slices]
    order = [uids.index(contour.sop_instance_uid) for contour in contours]
    assert all(a < b for a, b in pairwise(order)), "one contour a slice, in their order"
    found = rasterised(ct, contours)
    row, column = np.indices((shape[1], shape[2]))
    pixels = np.stack([column * spacing[0], row * spacing[1], 0 * row], axis=-1)
    true = np.stack([in_ball(pixels + np.array(slice_.position), centre, radius) for slice_ in ct.slices])
    overlap = 2 * np.count_nonzero(found & true) / (np.count_nonzero(found) + np.count_nonzero(true))
    assert overlap > 0.97
    middle = np.argwhere(found).mean(axis=0) - np.argwhere(true).mean(axis=0)
    assert np.abs(middle).max() < 0.1, "shifted"


def test_the_area_is_that_of_the_pixels(ct):
    disc = ellipsoid(ct, (0.5, 0.5, 0.5), (0.3, 0.3, 0.01 + 0.5 / SHAPE[0]))
    contours = trace(ct, disc)
    area = sum(abs(signed_area(contour.points[:, :2])) for contour in contours)
    pixels = np.count_nonzero(sitk.GetArrayViewFromImage(disc)) * 3.9 * 4.1
    assert area == pytest.approx(pixels, rel=0.005)


def test_decimal_strings():
    value = encode(np.array([[0.004, -0.004, 1.0], [10.10, -1234.567, 100.0]]))
    assert value == b"0\\0\\1\\10.1\\-1234.57\\100 "
    assert len(value) % 2 == 0


def test_rounding_drops_repeats_and_slivers():
    square = np.array([[0, 0, 5], [0.001, 0.002, 5], [10, 0, 5], [10, 10, 5], [0, 10, 5], [0.001, 0, 5]], float)
    assert sorted(rounded(square).tolist()) == [[0, 0, 5], [0, 10, 5], [10, 0, 5], [10, 10, 5]]
    assert rounded(np.array([[0, 0, 5], [10, 0, 5], [5, 0.001, 5]])) is None
    assert rounded(np.array([[0, 0, 5], [0, 0, 5], [0, 0, 5]], float)) is None


def test_points_between_their_neighbours_go_but_turning_points_stay():
    spike = np.array([[0, 0], [2, 0], [4, 0], [4, 4], [4, 9], [4, 4], [0, 4]], float)
    kept = without_collinear(spike)
    assert [4, 9] in kept.tolist()
    assert [2, 0] not in kept.tolist()


def test_nested_rings_are_grouped_and_joined():
    def square(x, y, side):
        return np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]], float)

    rings = [square(2, 2, 3), square(0, 0, 20), square(6, 6, 10), square(8, 8, 3), square(30, 0, 5)]
    groups = {outer: sorted(holes) for outer, holes in arrange(rings, own_areas(rings)[0])[0]}
    assert groups == {1: [0, 2], 3: [], 4: []}
    joined = keyhole(rings[1], [rings[0], rings[2]])
    assert abs(signed_area(joined)) == 20**2 - 3**2 - 10**2
    with pytest.raises(ValueError, match="outside"):
        keyhole(rings[0], [rings[1]])
