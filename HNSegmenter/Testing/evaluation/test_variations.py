"""Each variation on a painted head: what it changes, what it leaves, and that masks come back to where they belong."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from HNSegmenterLib.cli.evaluate import VARIATIONS as NAMES
from HNSegmenterLib.evaluation.places import centre
from HNSegmenterLib.evaluation.variations import VARIATIONS, Draw, Scan, Varied, other_side
from HNSegmenterLib.evaluation.variations.places import onto
from HNSegmenterLib.evaluation.variations.planning import MASK_HU
from HNSegmenterLib.evaluation.variations.scan import TISSUE_HU
from HNSegmenterLib.evaluation.variations.void import hull_pixels, is_whole
from Testing.painted_head import painted_head

MOVED = ("planning-ct", "rotated", "cut", "mirrored", "reoriented")


@pytest.fixture(scope="module")
def scan() -> Scan:
    return head()


def head(spacing: tuple[float, float, float] = (5.0, 5.0, 4.0)) -> Scan:
    ct, labelmaps = painted_head(spacing=spacing)
    return Scan(ct, {name: sitk.GetArrayFromImage(labelmap) != 0 for name, labelmap in labelmaps.items()})


def vary(name: str, scan: Scan, seed: int = 0, axial: bool = False, donor: Scan | None = None) -> Varied:
    return VARIATIONS[name](scan, Draw(np.random.default_rng(seed), lambda: donor or scan, axial))


def hu(varied: Varied) -> np.ndarray:
    return sitk.GetArrayFromImage(varied.ct)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return 2 * np.count_nonzero(first & second) / (np.count_nonzero(first) + np.count_nonzero(second))


def test_the_command_knows_all_of_them():
    assert tuple(VARIATIONS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_drawn_with_a_seed_and_the_scan_stays_as_it_was(scan, name):
    before = scan.hu.copy()
    first, again = vary(name, scan, seed=3), vary(name, scan, seed=3)
    assert np.array_equal(hu(first), hu(again)) and np.array_equal(first.in_view, again.in_view)
    assert np.array_equal(scan.hu, before)
    assert first.ct.GetPixelID() == sitk.sitkInt16 and first.in_view.shape == scan.hu.shape


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MOVED])
def test_what_changes_values_only_keeps_the_grid(scan, name):
    varied = vary(name, scan)
    assert varied.ct.GetSize() == scan.ct.GetSize() and varied.ct.GetOrigin() == scan.ct.GetOrigin()
    organ = scan.organs["Parotid_L"]
    assert np.array_equal(varied.back(organ), organ)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", MOVED)
def test_an_organ_found_on_the_moved_ct_comes_back_to_its_place(name, seed):
    """A CT in which one organ alone is dense: what is dense on the varied CT, brought back, is that organ."""
    scan = head((4.0, 4.0, 4.0))
    for organ in ("Parotid_L", "Brainstem"):
        dense = sitk.GetImageFromArray(np.where(scan.organs[organ], 1000, 0).astype(np.int16))
        dense.CopyInformation(scan.ct)
        varied = vary(name, Scan(dense, scan.organs), seed)
        found = varied.back(hu(varied) > 500)
        expected = scan.organs[organ] & varied.in_view
        if expected.any():
            assert dice(found, expected) >= (0.97 if name in ("planning-ct", "rotated") else 1.0), organ


def test_again_is_the_same(scan):
    assert np.array_equal(hu(vary("again", scan)), scan.hu)


def test_noise_of_30_hu(scan):
    added = hu(vary("noise", scan)).astype(float) - scan.hu
    tissue = scan.hu > TISSUE_HU  # air cannot go below -1024
    assert added[tissue].std() == pytest.approx(30, rel=0.02)
    assert added[tissue].mean() == pytest.approx(0, abs=0.5)


@pytest.mark.parametrize(("name", "offset"), [("hu+30", 30), ("hu-30", -30)])
def test_offset(scan, name, offset):
    added = hu(vary(name, scan)) - scan.hu
    assert set(np.unique(added[scan.hu > TISSUE_HU])) == {offset}
    assert hu(vary(name, scan)).min() >= -1024


@pytest.mark.parametrize("seed", range(4))
def test_half_of_the_tissue_is_blanked_on_one_side_of_a_plane(scan, seed):
    varied = vary("half-blanked", scan, seed)
    tissue = scan.hu > TISSUE_HU
    assert np.count_nonzero(tissue & varied.in_view) == pytest.approx(np.count_nonzero(tissue) / 2, rel=0.01)
    assert np.array_equal(hu(varied)[varied.in_view], scan.hu[varied.in_view])
    assert set(np.unique(hu(varied)[~varied.in_view])) == {-1000}


def blanked(scan: Scan, organ: str) -> tuple[Scan, np.ndarray]:
    """The scan with its upper and lower slices blanked but for the organ, and one slice bitten off;
    and which slices."""
    changed = np.zeros(len(scan.hu), bool)
    changed[:25] = changed[45:] = changed[40] = True
    values = np.where(changed[:, None, None] & ~scan.organs[organ], -1000, scan.hu).astype(np.int16)
    rows, columns = (np.flatnonzero((scan.hu[40] > TISSUE_HU).any(axis=axis)) for axis in (1, 0))
    middle, third = (rows[0] + rows[-1]) // 2, len(columns) // 3
    values[40] = scan.hu[40]
    values[40, : middle + 2, columns[third] : columns[-third]] = -1000
    ct = sitk.GetImageFromArray(values)
    ct.CopyInformation(scan.ct)
    return Scan(ct, scan.organs), changed


def test_the_void_is_filled_with_the_tissue_that_belongs_there(scan):
    """Filled from the same head unblanked, the whole head is there again."""
    spoilt, changed = blanked(scan, "SpinalCord")
    varied = vary("void-filled", spoilt, donor=scan)
    filled = hu(varied)
    assert np.array_equal(filled[~changed], spoilt.hu[~changed]), "whole slices stay"
    assert np.array_equal(filled[spoilt.hu > -990], spoilt.hu[spoilt.hu > -990]), "what was there stays"
    assert not (varied.in_view & (filled != spoilt.hu)).any(), "what is foreign is not in view"
    tissue = scan.hu > TISSUE_HU
    assert dice(filled > TISSUE_HU, tissue) >= 0.97
    assert dice((filled > TISSUE_HU)[40], tissue[40]) >= 0.95, "the rest of a bitten-off slice"


def test_the_donor_is_laid_on_the_landmarks(scan):
    """A donor that lies elsewhere, on another grid, fills the same places."""
    donor = head((4.0, 4.0, 3.0))
    donor.ct.SetOrigin([value + shift for value, shift in zip(donor.ct.GetOrigin(), (40.0, -25.0, 300.0), strict=True)])
    spoilt, _ = blanked(scan, "SpinalCord")
    assert dice(hu(vary("void-filled", spoilt, donor=donor)) > TISSUE_HU, scan.hu > TISSUE_HU) >= 0.95


def test_whole_slices_and_bitten_off_ones():
    plane = np.full((60, 60), -1000)
    j, i = np.indices(plane.shape)
    plane[(j - 30) ** 2 + (i - 30) ** 2 < 15**2] = 40
    assert is_whole(plane, (4.0, 4.0))
    assert not is_whole(plane, (3.0, 3.0)), "64 cm2"
    plane[20:40, 25:35] = -1000
    assert is_whole(plane, (4.0, 4.0)), "a hole within is no bite"
    plane[28:] = -1000
    plane[:, 28:32] = np.where(plane[:, 28:32] > 0, -1000, plane[:, 28:32])
    assert not is_whole(plane, (5.0, 5.0))


def test_hull():
    square = np.zeros((10, 10), bool)
    square[2:6, 3:8] = True
    assert hull_pixels(square) == 20
    corner = np.zeros((10, 10), bool)
    corner[0, 0] = corner[9, 0] = corner[9, 9] = True
    assert hull_pixels(corner) == 59.5  # the square's half, and the three pixels' own corners


def test_planning_ct(scan):
    varied = vary("planning-ct", scan)
    assert varied.ct.GetSize()[:2] == (512, 512) and varied.ct.GetSpacing() == (1.0, 1.0, 4.0)
    assert varied.in_view.all()
    painted = hu(varied)
    body = sitk.GetArrayFromImage(sitk.Resample(scan.ct, varied.ct, sitk.Transform(), sitk.sitkLinear, -1000.0))
    rows = np.flatnonzero((body > TISSUE_HU).any(axis=(0, 2)))
    added = (painted > -980) & (body < TISSUE_HU)
    couch = added[:, rows[-1] + 5 :]
    assert couch.any(axis=(1, 2)).all(), "as long as the scan"
    assert np.ptp(np.nonzero(couch)[2]) > 450, "and wide"
    mask = (painted == MASK_HU) & (body < TISSUE_HU)
    assert mask[:50, : rows[0] + 20].any(axis=(1, 2)).all(), "before the face"
    assert not mask[:, rows[-1] :].any()
    inside = body > 0
    assert np.abs(painted[inside].astype(int) - body[inside]).max() < 200, "nothing is painted into the patient"


def test_a_wide_scan_is_not_cropped():
    wide = sitk.Resample(
        head().ct,
        [200, 200, 20],
        sitk.Transform(),
        sitk.sitkLinear,
        [-300, -300, 0],
        [3.5, 3.5, 3.0],
        np.eye(3).ravel(),
        -1000,
    )
    varied = vary("planning-ct", Scan(wide, {}))
    assert varied.ct.GetSpacing()[0] == pytest.approx(200 * 3.5 / 512)


@pytest.mark.parametrize("seed", range(3))
def test_rotated_by_15_degrees(seed):
    scan = head((4.0, 4.0, 4.0))
    ends = {}
    for organ in ("Eye_L", "Parotid_R", "Brainstem"):
        dense = sitk.GetImageFromArray(np.where(scan.organs[organ], 1000, 0).astype(np.int16))
        dense.CopyInformation(scan.ct)
        varied = vary("rotated", Scan(dense, scan.organs), seed)
        ends[organ] = centre(scan.organs[organ], scan.ct), centre(hu(varied) > 500, varied.ct)
    (a, a1), (b, b1), (c, c1) = ends.values()
    before, after = (
        np.stack([b - a, c - a, np.cross(b - a, c - a)]),
        np.stack([b1 - a1, c1 - a1, np.cross(b1 - a1, c1 - a1)]),
    )
    turn = np.linalg.solve(before, after)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) == pytest.approx(15, abs=0.7)
    assert np.linalg.det(turn) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("seed", range(8))
def test_cut_through_an_organ(scan, seed):
    varied = vary("cut", scan, seed)
    assert (varied.lowest is None) != (varied.highest is None)
    kept = slice(0, varied.highest + 1) if varied.lowest is None else slice(varied.lowest, None)
    assert np.array_equal(hu(varied), scan.hu[kept])
    assert varied.ct.GetOrigin() == pytest.approx(scan.ct.TransformIndexToPhysicalPoint((0, 0, kept.start or 0)))
    shares = [np.count_nonzero(mask & varied.in_view) / np.count_nonzero(mask) for mask in scan.organs.values()]
    assert any(0.05 < share < 0.95 for share in shares)


def test_cuts_come_from_above_and_from_below(scan):
    assert {vary("cut", scan, seed).lowest is None for seed in range(12)} == {True, False}


def test_nothing_to_cut(scan):
    assert np.array_equal(hu(vary("cut", Scan(scan.ct, {}))), scan.hu)


def test_mirrored(scan):
    varied = vary("mirrored", scan)
    assert varied.mirrored and varied.ct.GetDirection() == scan.ct.GetDirection()
    assert np.array_equal(hu(varied), scan.hu[:, :, ::-1])
    assert (
        other_side("Parotid_L") == "Parotid_R"
        and other_side("Eye_R") == "Eye_L"
        and other_side("Brainstem") == "Brainstem"
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("axial", [True, False])
def test_reoriented_keeps_every_voxel_in_its_place(scan, seed, axial):
    varied = vary("reoriented", scan, seed, axial)
    assert varied.ct.GetDirection() != scan.ct.GetDirection()
    there = sitk.Resample(varied.ct, scan.ct, sitk.Transform(3, sitk.sitkIdentity), sitk.sitkNearestNeighbor, -2000)
    assert np.array_equal(sitk.GetArrayFromImage(there), scan.hu)
    if axial:
        assert abs(varied.ct.GetDirection()[8]) == 1.0


def test_a_mask_read_on_another_grid(scan):
    organ = scan.organs["Parotid_L"]
    assert np.array_equal(onto(organ, scan.ct, scan.ct), organ)
