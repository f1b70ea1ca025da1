"""Cuts through the patient inside the image: a part blanked beyond a plane, or the ends of a scan that was turned.

At the image's own ends `grid` lets the edge go on. Inside the image, interpolation would mix the last tissue with the
padding beyond, and the network would not see it: so tissue goes on here too, for about a voxel of the network's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

PADDING_HU = -990  # and less: nothing was measured, or air
TISSUE_HU = -200
COARSE_MM = 4.0  # planes are looked for in every voxel that is about so far from the last
DIRECTIONS, APART_DEGREES = 1000, 20.0
NEAR_MM = (
    10.0,
    8.0,
    6.0,
    5.0,
    4.0,
    4.0,
)  # below the outermost tissue; a plane is fitted to what is so near, closer every time
MOST_SKIN = 20_000  # voxels of skin that directions are judged by: more would cost time and memory alone
OUTERMOST, STRAY = 20, 0.05  # voxels, or as a share of the section of the patient: so much may lie beyond
REACH_MM = 20.0  # below what may be stray, the section must begin
LEAST_CM2 = 40.0
LEAST_SHARE = 0.8
"""Of the section of the patient up to 20 mm below:
a cut shows its section at once, below skin, however flat, it grows."""
LEAST_PADDING = 0.9  # of what lies just beyond
MOST_CUTS, MOST_TRIES = 3, 12
EXTENSION_MM = 4.0  # or a voxel of the image, whichever is more
SLACK_MM = 1.0  # a plane may be found so much too far out
MIXED_FROM = 0.1  # of a voxel beyond the plane: nearer is what was measured last


@dataclass(frozen=True)
class Cut:
    """The plane normal . (z, y, x) = depth_mm from the first voxel's centre, through the outermost tissue's centres.

    normal: of length 1, away from the patient.
    """

    normal: np.ndarray
    depth_mm: float

    def thickness(self, spacing: np.ndarray) -> float:
        """mm of a voxel along the normal; spacing: (z, y, x) mm."""
        return float(np.abs(self.normal) @ spacing)

    def beyond(self, shape: tuple[int, ...], spacing: np.ndarray) -> np.ndarray:
        """mm beyond the plane of every voxel of an image [z, y, x], float32; spacing: (z, y, x) mm."""
        z, y, x = (np.arange(n, dtype=np.float32) * np.float32(mm) for n, mm in zip(shape, spacing * self.normal))
        return z[:, None, None] + (y[:, None] + x - np.float32(self.depth_mm))


def extend(view: np.ndarray, spacing: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The image with tissue going on beyond its cuts, and where nothing was measured beyond them (bool).

    view: HU [z, y, x]; spacing: (x, y, z) mm. (view, None) where nothing is cut.
    """
    spacing = np.asarray(spacing, float)[::-1]
    cuts = find_cuts(view, spacing)
    if not cuts:
        return view, None
    image, void = np.array(view), np.zeros(view.shape, bool)
    for cut in cuts:
        beyond = cut.beyond(view.shape, spacing)
        empty = (beyond > -SLACK_MM) & (view <= PADDING_HU)
        void |= empty
        # What was blanked and then resampled has tissue mixed with padding next to the plane.
        empty |= (beyond > MIXED_FROM * cut.thickness(spacing)) & (view <= TISSUE_HU)
        _go_on(image, empty, beyond, cut.normal * spacing)
    return image, void


def find_cuts(view: np.ndarray, spacing: np.ndarray) -> list[Cut]:
    """Planes with nothing but padding beyond and a whole section of the patient at once behind.
    spacing: (z, y, x) mm."""
    steps = [max(1, int(COARSE_MM / mm)) for mm in spacing]
    coarse = view[:: steps[0], :: steps[1], :: steps[2]]
    coarse_mm = spacing * steps
    tissue = coarse > TISSUE_HU
    places = np.argwhere(tissue & ~_enclosed(tissue))
    skin = places[:: 1 + len(places) // MOST_SKIN] * coarse_mm
    cuts: list[Cut] = []
    if len(skin) < OUTERMOST:
        return cuts
    directions = _directions()
    counts = _flatness(skin, directions)
    for _ in range(MOST_TRIES):
        first = int(counts.argmax())
        if len(cuts) == MOST_CUTS or counts[first] < OUTERMOST:
            break
        cut = _to_edge(Cut(_flattest(skin, directions[first]), 0.0), tissue, coarse_mm)
        if _is_cut(cut, tissue, coarse, coarse_mm) and not any(_alike(cut.normal, other.normal) for other in cuts):
            cuts.append(cut if max(steps) == 1 else _to_edge(cut, view > TISSUE_HU, spacing, 2 * COARSE_MM))
        counts[_alike(directions, directions[first]) | _alike(directions, cut.normal)] = 0
    return cuts


def _flatness(skin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """How many points (n, 3) lie near the outermost in each direction (m, 3): some directions at a time, for memory."""
    parts = (skin @ some.T for some in np.array_split(directions, 20))
    return np.concatenate([np.count_nonzero(heights > heights.max(axis=0) - NEAR_MM[0], axis=0) for heights in parts])


def _directions() -> np.ndarray:
    """Unit vectors (DIRECTIONS, 3) spread evenly: a Fibonacci sphere."""
    number = np.arange(DIRECTIONS) + 0.5
    height = 1 - 2 * number / DIRECTIONS
    radius, angle = np.sqrt(1 - height**2), np.pi * (1 + np.sqrt(5)) * number
    return np.stack([height, radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _alike(directions: np.ndarray, other: np.ndarray) -> np.ndarray:
    return directions @ other > np.cos(np.radians(APART_DEGREES))


def _enclosed(mask: np.ndarray) -> np.ndarray:
    """Voxels whose six neighbours are of the mask; beyond the image's ends it goes on."""
    inner = mask.copy()
    for axis in range(3):
        one, other = np.moveaxis(mask, axis, 0), np.moveaxis(inner, axis, 0)
        other[1:] &= one[:-1]
        other[:-1] &= one[1:]
    return inner


def _flattest(points: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """The normal of the plane through the outermost points (n, 3) in about the direction of `normal`."""
    for near in NEAR_MM:
        heights = points @ normal
        top = points[heights > _outermost(heights) - near]
        across = np.linalg.svd(top - top.mean(axis=0), full_matrices=False)[2][2]
        normal = across if across @ normal > 0 else -across
    return np.round(normal, 6)  # the same on every computer, whose last digits differ


def _outermost(heights: np.ndarray, number: int = OUTERMOST) -> float:
    return float(np.partition(heights, -number)[-number])


def _to_edge(cut: Cut, tissue: np.ndarray, spacing: np.ndarray, reach_mm: float = np.inf) -> Cut:
    """The cut moved by at most so much to where, coming from beyond, a section of the patient begins.
    tissue: bool [z, y, x]."""
    beyond, thickness = cut.beyond(tissue.shape, spacing), cut.thickness(spacing)
    heights = beyond[tissue & (beyond > -reach_mm) & (beyond < reach_mm)]
    down = heights.max() - heights
    fullest = np.bincount((down[down < REACH_MM] / thickness).astype(int)).max()
    edge = _outermost(heights, max(OUTERMOST, int(STRAY * fullest)))
    return replace(cut, depth_mm=round(cut.depth_mm + edge, 3))


def _is_cut(cut: Cut, tissue: np.ndarray, image: np.ndarray, spacing: np.ndarray) -> bool:
    """tissue: where it is in an image [z, y, x]."""
    below = -cut.beyond(image.shape, spacing)
    thickness = cut.thickness(spacing)
    sections = (
        _sections(below[tissue & (below < 5 * COARSE_MM + thickness)], thickness) * np.prod(spacing) / COARSE_MM / 100
    )  # cm2
    if sections[:2].min() < max(LEAST_CM2, LEAST_SHARE * sections[2:].max()):
        return False
    outermost = tissue & (below > -STRAY * thickness) & (below < (1 - STRAY) * thickness)
    at = np.argwhere(outermost) * spacing
    beyond = np.rint((at + (thickness + COARSE_MM) * cut.normal) / spacing).astype(int)
    beyond = beyond[((beyond >= 0) & (beyond < image.shape)).all(axis=1)]
    padding = np.count_nonzero(image[tuple(beyond.T)] <= PADDING_HU)
    return bool(padding >= LEAST_PADDING * len(at))


def _sections(below: np.ndarray, thickness: float) -> np.ndarray:
    """Voxels in each of five layers of COARSE_MM from half a voxel down;
    a voxel is spread over as much of the way as it is thick."""
    edges = thickness / 2 + COARSE_MM * np.arange(6)
    return np.diff(np.clip((edges[:, None] - below) / thickness + 0.5, 0, 1).sum(axis=1))


def _go_on(image: np.ndarray, empty: np.ndarray, beyond: np.ndarray, steps: np.ndarray) -> None:
    """Gives empty voxels just beyond a cut what lies before it, straight back along an axis.

    beyond: mm, per voxel; steps: mm towards beyond of a voxel's step along each axis.
    """
    places = np.nonzero(empty & (beyond <= max(EXTENSION_MM, float(np.abs(steps).sum()))))
    axis = int(np.abs(steps).argmax())
    source = list(places)
    back = np.ceil((beyond[places] + SLACK_MM) / abs(steps[axis])).astype(int)
    source[axis] = places[axis] - back * int(np.sign(steps[axis]))
    within = (source[axis] >= 0) & (source[axis] < image.shape[axis])
    source[axis] = np.clip(source[axis], 0, image.shape[axis] - 1)
    image[places] = np.where(within, image[tuple(source)], image[places])
