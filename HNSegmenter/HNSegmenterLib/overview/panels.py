"""Panels of overview.png: slices of the CT along the patient's axes with the organs' outlines on them.

Every panel is sampled from the CT, so any image direction, also an oblique one, and any voxel size come out upright and
in proportion. Drawn as radiologists look: the patient's left is on the right of axial and coronal panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw

from ..checks.shapes import Shape, organ_points, voxel_size
from .page import INK, Color, font

FIELD_MM = 250.0  # a head with the neck; of larger organs all is shown, smaller
BESIDE_MM = 10.0  # between an organ and the panel's edge, at least
PANEL = 360  # pixels
WINDOW, LEVEL = 350.0, 40.0  # HU, soft tissue
OUTSIDE = -32768  # of the scan
LINE = 1.6  # pixels
SCAN_END = (30, 34, 42)
CUT_VOXELS = 2  # around an organ's box: as far as interpolation reaches


@dataclass(frozen=True)
class View:
    """One way to look. across, down: patient directions (LPS) of the picture's axes; axis: the LPS axis it cuts;
    marks: letters at the left, right, upper and lower edge (A front, P back, H head, F feet)."""

    name: str
    across: tuple[int, int, int]
    down: tuple[int, int, int]
    axis: int
    marks: str


VIEWS = (
    View("Axial", (1, 0, 0), (0, 1, 0), 2, "RLAP"),
    View("Coronal", (1, 0, 0), (0, 0, -1), 1, "RLHF"),
    View("Sagittal", (0, 1, 0), (0, 0, -1), 0, "APHF"),
)


@dataclass(frozen=True)
class Outlined:
    """An organ to be outlined: its labelmap, cut to little more than the organ."""

    labelmap: sitk.Image
    shape: Shape
    color: Color

    @classmethod
    def of(cls, labelmap: sitk.Image, shape: Shape, color: Color) -> Outlined:
        low = [max(0, part.start - CUT_VOXELS) for part in reversed(shape.box)]
        high = [part.stop + CUT_VOXELS for part in reversed(shape.box)]
        i, j, k = (slice(a, min(b, n)) for a, b, n in zip(low, high, labelmap.GetSize(), strict=True))
        return cls(labelmap[i, j, k], shape, color)


def middle_of(ct: sitk.Image, shapes: Sequence[Shape]) -> np.ndarray:
    """(3,) LPS mm: middle of all organs, or of the scan."""
    if shapes:
        low, high = np.min([shape.low for shape in shapes], axis=0), np.max([shape.high for shape in shapes], axis=0)
        return (low + high) / 2
    return np.array(ct.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in ct.GetSize()]))


def planes_of(ct: sitk.Image, shape: Shape) -> np.ndarray:
    """(3,) L, P, S in mm of the planes with most of the organ in them."""
    points = organ_points(ct, shape)
    planes = []
    for coordinates, size in zip(points.T, voxel_size(ct), strict=True):
        bins = np.rint((coordinates - coordinates[0]) / size).astype(int)
        counts = np.bincount(bins - bins.min())
        planes.append(coordinates[0] + (int(np.argmax(counts)) + bins.min()) * size)
    return np.array(planes)


@dataclass(frozen=True)
class Frame:
    """What a panel shows: corner, (3,) LPS mm of its upper left pixel; directions, (3, 3) of its columns, rows and
    normal; step, mm between pixels."""

    corner: np.ndarray
    directions: np.ndarray
    step: float

    @classmethod
    def of(cls, view: View, centre: np.ndarray, plane: float, shape: Shape | None) -> Frame:
        """Around the centre, moved and enlarged until all of the organ is in it."""
        across, down = np.array(view.across, float), np.array(view.down, float)
        seen = np.arange(3) != view.axis
        field = FIELD_MM
        if shape is not None:
            field = max(field, float(shape.extent[seen].max()) + 2 * BESIDE_MM)
            room = field / 2 - BESIDE_MM
            centre = np.clip(centre, shape.high - room, np.maximum(shape.low + room, shape.high - room))
        corner = np.where(seen, centre, plane) - (across + down) * (field - field / PANEL) / 2
        return cls(corner, np.column_stack([across, down, np.cross(across, down)]), field / PANEL)

    def sample(
        self, image: sitk.Image, fill: float, first: tuple[int, int] = (0, 0), size: tuple[int, int] = (PANEL, PANEL)
    ) -> np.ndarray:
        """(rows, columns) float32: the image on the panel's pixels from first (column, row) on, linearly
        interpolated."""
        corner = self.corner + self.directions[:, :2] @ np.array(first) * self.step
        plane = sitk.Resample(
            image,
            (*size, 1),
            sitk.Transform(),
            sitk.sitkLinear,
            corner.tolist(),
            (self.step, self.step, self.step),
            self.directions.ravel().tolist(),
            fill,
            sitk.sitkFloat32,
        )
        return sitk.GetArrayFromImage(plane)[0]


def panel(view: View, ct: sitk.Image, outlines: Sequence[Outlined], frame: Frame, plane: float) -> Image.Image:
    """The last outline lies over the others."""
    image = slice_of(view, ct, outlines, frame, plane)
    _mark(ImageDraw.Draw(image), view, frame, plane)
    return image


def slice_of(
    view: View, ct: sitk.Image, outlines: Sequence[Outlined], frame: Frame, plane: float, line: float = LINE
) -> Image.Image:
    """A panel without letters. line: width of the outlines in pixels."""
    hu = frame.sample(ct, OUTSIDE)
    grey = np.clip((hu - (LEVEL - WINDOW / 2)) / WINDOW, 0.0, 1.0) * 255.0
    picture = np.where((hu < OUTSIDE / 2)[..., None], np.array(SCAN_END, np.float32), grey[..., None])
    for outlined in outlines:
        _outline(picture, view, outlined, frame, plane, line)
    return Image.fromarray(picture.astype(np.uint8), "RGB")


def _outline(picture: np.ndarray, view: View, outlined: Outlined, frame: Frame, plane: float, line: float) -> None:
    """Draw where the interpolated labelmap crosses 0.5: distance to there is about value / gradient, in pixels."""
    low, high = outlined.shape.low - 3.0, outlined.shape.high + 3.0
    if not low[view.axis] <= plane <= high[view.axis]:
        return
    ends = np.array(
        [(np.array([low, high]) - frame.corner) @ frame.directions[:, axis] / frame.step for axis in (0, 1)]
    )  # [column/row, low/high]
    first = np.clip(np.floor(ends.min(axis=1)), 0, PANEL).astype(int)
    size = np.clip(np.ceil(ends.max(axis=1)), 0, PANEL).astype(int) - first
    if size.min() < 2:
        return
    patch = frame.sample(outlined.labelmap, 0.0, (int(first[0]), int(first[1])), (int(size[0]), int(size[1])))
    slope = np.hypot(*np.gradient(patch))
    away = np.abs(patch - 0.5) / np.maximum(slope, 1e-3)
    opacity = np.clip(line / 2 + 0.5 - away, 0.0, 1.0)[..., None]
    part = picture[first[1] : first[1] + size[1], first[0] : first[0] + size[0]]
    part += opacity * (np.array(outlined.color, np.float32) - part)


def _mark(draw: ImageDraw.ImageDraw, view: View, frame: Frame, plane: float) -> None:
    middle, end = PANEL / 2, PANEL - 6
    for letter, place, anchor in zip(
        view.marks, ((6, middle), (end, middle), (middle, 5), (middle, end)), ("lm", "rm", "ma", "md"), strict=True
    ):
        draw.text(place, letter, INK, font(15), anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    caption = f"{view.name}, {'xyz'[view.axis]} = {plane:.1f} mm"
    draw.text((6, end), caption, INK, font(12), "ld", stroke_width=2, stroke_fill=(0, 0, 0))
    if view.axis == 2 or frame.step * PANEL > FIELD_MM:
        length = 50.0 / frame.step
        draw.line((end - length, end - 4, end, end - 4), INK, 2)
        draw.text((end - length / 2, end - 8), "5 cm", INK, font(12), "md", stroke_width=2, stroke_fill=(0, 0, 0))
