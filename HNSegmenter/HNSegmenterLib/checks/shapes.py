"""What the checks measure of one labelmap: size, place and pieces, in patient coordinates.

Patient coordinates are DICOM's: L, P and S grow to the patient's left, back and head, in mm, whatever the image's
direction. Arrays are [k, j, i] as SimpleITK gives them. Everything but the box is computed inside the organ's box only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ..grids import bounding_box
from ..result import Organ

AXES = ("L", "P", "S")
CORD = "SpinalCord"
CRUMB_SHARE = 0.2
CORD_PIECE_ML = 0.5  # 4 mm of its length
CORD_ASIDE_MM = (30.0, 60.0)  # L, P: a spine bends far more to front and back than sideways
TOP_MM = 5.0  # the cord's landmark is the middle of its uppermost 5 mm: two slices or more


@dataclass(frozen=True)
class Shape:
    """One organ of one scan.

    box: slices (k, j, i) that hold every voxel; mask: the labelmap within, bool; volume_ml: of all voxels;
    pieces_ml: volumes of the 26-connected pieces, largest first; own_pieces: how many of them are the organ, 1, of the
    cord those that continue one another; loose_ml: of the others; faces: sides of the image that it touches, as patient
    directions ("S-" is the end towards the feet). The rest leaves crumbs aside (others under a fifth of the volume):
    centre, top, bottom: (3,) LPS mm, middle of all voxels and of the uppermost and lowest 5 mm; low, high: (3,) LPS mm,
    outer faces of the extreme voxels along L, P, S; slices: the k that hold some.
    """

    name: str
    box: tuple[slice, slice, slice]
    mask: np.ndarray
    volume_ml: float
    centre: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pieces_ml: tuple[float, ...]
    own_pieces: int
    loose_ml: float
    slices: tuple[int, ...]
    faces: frozenset[str]

    @property
    def extent(self) -> np.ndarray:
        """(3,) mm along L, P, S."""
        return self.high - self.low

    @property
    def cross_section_mm2(self) -> float:
        """Mean area across the body's axis: volume over length along S, gaps left out."""
        filled = len(self.slices) / (len(self.slices) + len(self.empty_slices))
        return 1000.0 * self.volume_ml / float(self.extent[2]) / filled

    @property
    def empty_slices(self) -> tuple[int, ...]:
        """The k between the first and the last slice that hold nothing."""
        return tuple(sorted(set(range(self.slices[0], self.slices[-1])) - set(self.slices)))

    @property
    def landmark(self) -> np.ndarray:
        """(3,) LPS mm: the point that stands for the organ; the cord's top, for its length is the scan's."""
        return self.top if self.name == CORD else self.centre

    @property
    def landmark_if_turned(self) -> np.ndarray:
        """The landmark of a patient who lies head down in the scan."""
        return self.bottom if self.name == CORD else self.centre


def measured(labelmaps: Mapping[str, sitk.Image], organs: Sequence[Organ]) -> dict[str, Shape]:
    """Of each of these organs whose labelmap is there and not empty, its shape."""
    shapes = {organ.name: measure(organ.name, labelmaps[organ.name]) for organ in organs if organ.name in labelmaps}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def measure(name: str, labelmap: sitk.Image) -> Shape | None:
    """The shape of a binary labelmap (uint8, 0 or 1), None if it is empty."""
    voxels = sitk.GetArrayViewFromImage(labelmap)
    box = bounding_box(voxels)
    if box is None:
        return None
    mask = voxels[box] != 0
    parts, counts = pieces(mask)
    ml = voxel_ml(labelmap)
    kji = np.argwhere(mask) + [axis.start for axis in box]
    points, numbers = patient_points(labelmap, kji), parts[mask]
    large = counts >= CRUMB_SHARE * counts.sum()
    own = _line(points, numbers, counts, ml) if name == CORD else np.arange(len(counts)) == counts.argmax()
    kept = (large | own)[numbers - 1]
    kji, points = kji[kept], points[kept]
    half_voxel = voxel_size(labelmap) / 2
    first, last = points.min(axis=0), points.max(axis=0)
    return Shape(
        name=name,
        box=box,
        mask=mask,
        volume_ml=float(counts.sum()) * ml,
        centre=points.mean(axis=0),
        top=points[points[:, 2] >= last[2] - TOP_MM].mean(axis=0),
        bottom=points[points[:, 2] <= first[2] + TOP_MM].mean(axis=0),
        low=first - half_voxel,
        high=last + half_voxel,
        pieces_ml=tuple(float(count) * ml for count in sorted(counts, reverse=True)),
        own_pieces=int(own.sum()),
        loose_ml=float(counts[~own].sum()) * ml,
        slices=tuple(np.unique(kji[:, 0]).tolist()),
        faces=touched_faces(labelmap, box),
    )


def _line(points: np.ndarray, numbers: np.ndarray, counts: np.ndarray, ml: float) -> np.ndarray:
    """Which pieces (bool, of each count) are the cord:
    its largest, and those that lie above and below, none beside another.

    points: (n, 3) LPS mm of all voxels; numbers: (n,) of their pieces, from 1.
    """
    line = np.zeros(len(counts), bool)
    for piece in np.argsort(-counts, kind="stable"):
        own, others = points[numbers == piece + 1], points[line[numbers - 1]]
        if line.any():
            low, high = own[:, 2].min(), own[:, 2].max()
            beside = (others[:, 2] >= low) & (others[:, 2] <= high)
            nearest = others[np.abs(others[:, 2] - (low + high) / 2).argmin()]
            aside = np.abs(own.mean(axis=0) - nearest)[:2]
            if beside.any() or (aside > CORD_ASIDE_MM).any() or counts[piece] * ml < CORD_PIECE_ML:
                continue
        line[piece] = True
    return line


def voxel_ml(image: sitk.Image) -> float:
    return float(np.prod(image.GetSpacing())) / 1000.0


def direction(image: sitk.Image) -> np.ndarray:
    """(3, 3): columns are the directions of i, j, k in LPS."""
    return np.reshape(image.GetDirection(), (3, 3))


def voxel_size(image: sitk.Image) -> np.ndarray:
    """(3,) mm: size of the box along L, P, S that holds one voxel."""
    return np.abs(direction(image)) @ image.GetSpacing()


def patient_points(image: sitk.Image, kji: np.ndarray) -> np.ndarray:
    """(n, 3) voxel indices k, j, i to (n, 3) LPS mm."""
    return kji[:, ::-1] * image.GetSpacing() @ direction(image).T + image.GetOrigin()


def organ_points(image: sitk.Image, shape: Shape) -> np.ndarray:
    """(n, 3) LPS mm of all voxels of an organ of the image."""
    return patient_points(image, np.argwhere(shape.mask) + [part.start for part in shape.box])


def pieces(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 26-connected pieces of a bool array, numbered from 1, and their voxel counts in that order."""
    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True))
    return parts, np.bincount(parts.ravel())[1:]


def face(image: sitk.Image, axis: int, towards: int) -> str:
    """Patient direction ("L+", "S-", ...) in which index axis (0 i, 1 j, 2 k) points most,
    or its opposite (towards -1)."""
    vector = direction(image)[:, axis] * towards
    along = int(np.argmax(np.abs(vector)))
    return AXES[along] + ("+" if vector[along] > 0 else "-")


def touched_faces(image: sitk.Image, box: tuple[slice, slice, slice]) -> frozenset[str]:
    """Sides of the image at which the box ends, as patient directions."""
    touched = set()
    for axis, (part, size) in enumerate(zip(reversed(box), image.GetSize(), strict=True)):
        if part.start == 0:
            touched.add(face(image, axis, -1))
        if part.stop == size:
            touched.add(face(image, axis, +1))
    return frozenset(touched)
