"""Variations of the void: many research CTs are blanked to -1000 HU outside a dose region, and no clinic sends that."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from .scan import AIR_HU, SLICE_CM2, TISSUE_HU, Draw, Scan, Varied, everything, like

BLANK_HU = -990  # up to here a voxel may be blanked, or air
HULL_SHARE = 0.83  # tissue in its convex hull: less is bitten off
LANDMARKS = ("Parotid_L", "Parotid_R", "Brainstem", "SpinalCord")


def half_blanked(scan: Scan, draw: Draw) -> Varied:
    """All on one side of a plane of any direction blanked, so that half of the tissue is gone."""
    normal = draw.random.normal(size=3)
    normal /= np.linalg.norm(normal)
    spacing = scan.ct.GetSpacing()[::-1]
    height = sum(
        np.arange(n).reshape([-1 if axis == other else 1 for other in range(3)]) * mm * part
        for axis, (n, mm, part) in enumerate(zip(scan.hu.shape, spacing, normal, strict=True))
    )
    tissue = scan.hu > TISSUE_HU
    if not tissue.any():
        return Varied(scan.ct, everything(scan))
    in_view = height < np.median(height[tissue])
    return Varied(like(np.where(in_view, scan.hu, AIR_HU), scan.ct), in_view)


def void_filled(scan: Scan, draw: Draw) -> Varied:
    """Blanked slices, and the blanked rest of bitten-off slices,
    filled with another patient's tissue at the corresponding place.

    Corresponding: cord and brainstem lie on one another slice by slice where both have them, the parotids over all, and
    the other's slices are scaled to this one's girth. Whole slices, and all that is not void, stay as they are, and are
    what is in view: what is found in the other's tissue is the other's.
    """
    donor = draw.donor()
    foreign = _laid_over(donor, scan)
    spoilt = np.array([not is_whole(plane, scan.ct.GetSpacing()[:2]) for plane in scan.hu])
    void = (scan.hu <= BLANK_HU) & spoilt[:, None, None]
    return Varied(like(np.where(void, foreign, scan.hu), scan.ct), ~void, foreign=void)


def is_whole(plane: np.ndarray, spacing: tuple[float, float]) -> bool:
    """Whether a slice [j, i] shows a whole cross-section of the body: large enough and not bitten off.
    spacing: (x, y) mm."""
    stored = sitk.GetImageFromArray((plane > BLANK_HU).astype(np.uint8))
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(stored))
    body = sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.Cast(parts == 1, sitk.sitkUInt8))) != 0
    pixels = np.count_nonzero(body)
    return bool(pixels * np.prod(spacing) / 100 >= SLICE_CM2 and pixels >= HULL_SHARE * hull_pixels(body))


def hull_pixels(mask: np.ndarray) -> float:
    """Area, in pixels, of the convex hull of all pixels of a mask [j, i] (their corners, not their centres)."""
    rows = np.flatnonzero(mask.any(axis=1))
    lefts = mask[rows].argmax(axis=1)
    rights = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
    corners = sorted(
        (x, y)
        for row, left, right in zip(rows.tolist(), lefts.tolist(), rights.tolist(), strict=True)
        for y in (row, row + 1)
        for x in (left, right)
    )
    hull = [*_chain(corners)[:-1], *_chain(corners[::-1])[:-1]]
    x, y = np.array(hull, float).T
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _chain(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """One side of the hull of sorted points (Andrew's monotone chain)."""
    chain: list[tuple[int, int]] = []
    for point in points:
        while len(chain) >= 2 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    return int((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _laid_over(donor: Scan, scan: Scan) -> np.ndarray:
    """HU [k, j, i] of the donor on the scan's grid, landmark on landmark."""
    lift = _lift_mm(donor, scan)
    scale = _girth(donor) / _girth(scan)
    heights = _heights(scan.ct) - lift
    foreign = np.full(scan.hu.shape, AIR_HU, float)
    pairs = _pairs(donor, scan, heights)
    for k, height in enumerate(heights):
        source = round((height - donor.ct.GetOrigin()[2]) / donor.ct.GetSpacing()[2])
        if 0 <= source < len(donor.hu):
            foreign[k] = _scaled(donor, source, scan, pairs[k], scale)
    return foreign


def _heights(ct: sitk.Image) -> np.ndarray:
    return ct.GetOrigin()[2] + np.arange(ct.GetSize()[2]) * ct.GetSpacing()[2]


def _lift_mm(donor: Scan, scan: Scan) -> float:
    """How much higher the scan's landmarks lie than the donor's;
    the ends of the cord are drawn anywhere and don't count."""
    shared = [name for name in LANDMARKS[:3] if _drawn(donor, name) and _drawn(scan, name)]
    lifts = [_centre(scan, name)[2] - _centre(donor, name)[2] for name in shared]
    return float(np.mean(lifts)) if lifts else _heights(scan.ct)[-1] - _heights(donor.ct)[-1]


def _pairs(donor: Scan, scan: Scan, heights: np.ndarray) -> np.ndarray:
    """Per slice k of the scan a point there and the one in the donor that corresponds, (x, y, x', y') mm;
    interpolated between."""
    known = []
    for k, height in enumerate(heights):
        source = round((height - donor.ct.GetOrigin()[2]) / donor.ct.GetSpacing()[2])
        for name in ("SpinalCord", "Brainstem"):
            if 0 <= source < len(donor.hu) and _drawn(donor, name, source) and _drawn(scan, name, k):
                known.append((k, *_centre(scan, name, k)[:2], *_centre(donor, name, source)[:2]))
                break
    if not known:
        known = [(0, *_middle(scan), *_middle(donor))]
    slices, *points = np.array(known).T
    return np.stack([np.interp(np.arange(len(heights)), slices, values) for values in points], axis=1)


def _drawn(scan: Scan, name: str, k: int | None = None) -> bool:
    mask = scan.organs.get(name)
    return mask is not None and bool((mask if k is None else mask[k]).any())


def _centre(scan: Scan, name: str, k: int | None = None) -> np.ndarray:
    """(x, y, z) mm of an organ, or of it in slice k."""
    return _mean_point(scan, scan.organs[name] if k is None else scan.organs[name][k : k + 1])


def _middle(scan: Scan) -> np.ndarray:
    """(x, y) mm of all tissue."""
    return _mean_point(scan, scan.hu > TISSUE_HU)[:2]


def _mean_point(scan: Scan, mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)[::-1] * scan.ct.GetSpacing() + scan.ct.GetOrigin()


def _girth(scan: Scan) -> float:
    """mm across a circle as large as the middle whole slice of the parotids, or of the scan."""
    tissue = np.count_nonzero(scan.hu > TISSUE_HU, axis=(1, 2)) * np.prod(scan.ct.GetSpacing()[:2])
    parotids = [scan.organs[name].any(axis=(1, 2)) for name in LANDMARKS[:2] if _drawn(scan, name)]
    slices = np.logical_or.reduce(parotids) if parotids else np.ones(len(tissue), bool)
    areas = tissue[slices & (tissue >= SLICE_CM2 * 100)]
    return float(np.sqrt(np.median(areas if len(areas) else tissue[slices]) * 4 / np.pi))


def _scaled(donor: Scan, source: int, scan: Scan, pair: np.ndarray, scale: float) -> np.ndarray:
    """The donor's slice `source` read at the pixels of the scan's slices, pair's second point on its first."""
    plane = sitk.GetImageFromArray(donor.hu[source].astype(np.float32))
    plane.SetSpacing(donor.ct.GetSpacing()[:2])
    plane.SetOrigin(donor.ct.GetOrigin()[:2])
    grid = sitk.Image(scan.ct.GetSize()[:2], sitk.sitkUInt8)
    grid.SetSpacing(scan.ct.GetSpacing()[:2])
    grid.SetOrigin(scan.ct.GetOrigin()[:2])
    to_donor = sitk.AffineTransform(2)
    to_donor.SetCenter(pair[:2].tolist())
    to_donor.Scale(scale)
    to_donor.Translate((pair[2:] - pair[:2]).tolist())
    return sitk.GetArrayFromImage(sitk.Resample(plane, grid, to_donor, sitk.sitkLinear, AIR_HU))
