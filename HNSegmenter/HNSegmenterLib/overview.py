"""overview.png: each organ's outline on an axial, a coronal and a sagittal slice, for a first look without a viewer.

Every panel is sampled from the CT along the patient's axes, so any image direction, also an oblique one, and any voxel
size come out upright and in proportion. Drawn as radiologists look:
the patient's left is on the right of axial and coronal panels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFont

from .checks.shapes import Shape, measured, organ_points, voxel_size
from .result import NOT_FOUND, NOT_IN_MODEL, Organ

REVIEW = "Research use - a clinician must review every contour"
FIELD_MM = 250.0  # a head with the neck, or a spinal cord's length
PANEL = 360  # pixels
THUMBNAIL = 150  # pixels of each of its panels
TEXT_WIDTH, SWATCH, GAP, MARGIN = 330, 28, 8, 20
WINDOW, LEVEL = 350.0, 40.0  # HU, soft tissue
OUTSIDE = -32768  # of the scan
LINE, THUMBNAIL_LINE = 1.6, 5.0  # pixels of a panel; a thumbnail is reduced, and shown smaller still
PAGE, SCAN_END, INK, FAINT, ALERT = (18, 20, 24), (30, 34, 42), (236, 238, 242), (150, 156, 166), (255, 190, 80)


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


def draw_overview(
    ct_image: sitk.Image,
    labelmaps: dict[str, sitk.Image],
    organs: list[Organ],
    path: Path,
    model: dict | None = None,
    remarks: Sequence[str] = (),
) -> None:
    """Write overview.png: a row for each organ found, then the organs without contours.

    ct_image: int16 HU, any direction; labelmaps: binary uint8 on its grid, key TG-263 name; model: result.json's
    "model" (name, version, digest), named in the title; remarks: on the whole scan, beneath the title. Nothing of the
    patient but the pictures goes in.
    """
    shapes = measured(labelmaps, organs)
    shown = [organ for organ in organs if organ.name in shapes]
    blocks = [_title(model, remarks)]
    outlines = [(labelmaps[organ.name], shapes[organ.name], organ.color) for organ in shown]
    middle = _middle(ct_image, list(shapes.values()))
    for organ in shown:
        shape = shapes[organ.name]
        centre, planes = middle.copy(), _planes(ct_image, shape)
        centre[2] = (shape.low[2] + shape.high[2]) / 2
        blocks.append(_row(_organ_text(organ, shape), ct_image, outlines, centre, planes))
    if not shown:
        blocks.append(_row(_text(TEXT_WIDTH, [("No organ was found.", 18, ALERT)]), ct_image, [], middle, middle))
    blocks.append(_without_contours([organ for organ in organs if organ.name not in shapes]))
    _save(_stack(blocks), path)


def draw_thumbnail(ct_image: sitk.Image, labelmaps: dict[str, sitk.Image], organs: list[Organ], path: Path) -> None:
    """Write a PNG for lists of patients: a coronal and a sagittal panel, each through the middle of what was found,
    side by side and without letters. Arguments as of draw_overview."""
    shapes = measured(labelmaps, organs)
    outlines = [(labelmaps[organ.name], shapes[organ.name], organ.color) for organ in organs if organ.name in shapes]
    middle = _middle(ct_image, list(shapes.values()))
    page = Image.new("RGB", (2 * PANEL, PANEL), PAGE)
    for number, view in enumerate(VIEWS[1:]):
        picture = _picture(view, ct_image, outlines, middle, float(middle[view.axis]), THUMBNAIL_LINE)
        page.paste(picture, (number * PANEL, 0))
    _save(page.resize((2 * THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), path)


def _middle(ct: sitk.Image, shapes: list[Shape]) -> np.ndarray:
    """(3,) LPS mm: middle of all organs, or of the scan."""
    if shapes:
        low, high = np.min([shape.low for shape in shapes], axis=0), np.max([shape.high for shape in shapes], axis=0)
        return (low + high) / 2
    return np.array(ct.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in ct.GetSize()]))


def _planes(ct: sitk.Image, shape: Shape) -> np.ndarray:
    """(3,) L, P, S in mm of the planes with most of the organ in them."""
    points = organ_points(ct, shape)
    planes = []
    for coordinates, size in zip(points.T, voxel_size(ct), strict=True):
        bins = np.rint((coordinates - coordinates[0]) / size).astype(int)
        counts = np.bincount(bins - bins.min())
        planes.append(coordinates[0] + (int(np.argmax(counts)) + bins.min()) * size)
    return np.array(planes)


def _grid(view: View, centre: np.ndarray, plane: float) -> tuple[np.ndarray, np.ndarray]:
    """(3,) LPS mm of the upper left pixel, (3, 3) directions of the picture's columns, rows and normal."""
    across, down = np.array(view.across, float), np.array(view.down, float)
    corner = np.where(np.arange(3) == view.axis, plane, centre) - (across + down) * (FIELD_MM - FIELD_MM / PANEL) / 2
    return corner, np.column_stack([across, down, np.cross(across, down)])


def _sample(
    image: sitk.Image, corner: np.ndarray, directions: np.ndarray, size: tuple[int, int], fill: float
) -> np.ndarray:
    """(rows, columns) float32: the image along a plane, linearly interpolated."""
    step = FIELD_MM / PANEL
    plane = sitk.Resample(
        image,
        (*size, 1),
        sitk.Transform(),
        sitk.sitkLinear,
        corner.tolist(),
        (step, step, step),
        directions.ravel().tolist(),
        fill,
        sitk.sitkFloat32,
    )
    return sitk.GetArrayFromImage(plane)[0]


def _panel(view: View, ct: sitk.Image, outlines: list, centre: np.ndarray, plane: float) -> Image.Image:
    image = _picture(view, ct, outlines, centre, plane)
    _mark(ImageDraw.Draw(image), view, plane)
    return image


def _picture(
    view: View, ct: sitk.Image, outlines: list, centre: np.ndarray, plane: float, line: float = LINE
) -> Image.Image:
    corner, directions = _grid(view, centre, plane)
    hu = _sample(ct, corner, directions, (PANEL, PANEL), OUTSIDE)
    grey = np.clip((hu - (LEVEL - WINDOW / 2)) / WINDOW, 0.0, 1.0) * 255.0
    picture = np.where((hu < OUTSIDE / 2)[..., None], np.array(SCAN_END, np.float32), grey[..., None])
    for labelmap, shape, color in outlines:
        _outline(picture, view, labelmap, shape, color, corner, directions, plane, line)
    return Image.fromarray(picture.astype(np.uint8), "RGB")


def _outline(
    picture: np.ndarray,
    view: View,
    labelmap: sitk.Image,
    shape: Shape,
    color: tuple,
    corner: np.ndarray,
    directions: np.ndarray,
    plane: float,
    line: float,
) -> None:
    """Draw where the interpolated labelmap crosses 0.5: distance to there is about value / gradient, in pixels."""
    low, high = shape.low - 3.0, shape.high + 3.0
    if not low[view.axis] <= plane <= high[view.axis]:
        return
    step = FIELD_MM / PANEL
    ends = np.array(
        [(np.array([low, high]) - corner) @ directions[:, axis] / step for axis in (0, 1)]
    )  # [column/row, low/high]
    first = np.clip(np.floor(ends.min(axis=1)), 0, PANEL).astype(int)
    size = np.clip(np.ceil(ends.max(axis=1)), 0, PANEL).astype(int) - first
    if size.min() < 2:
        return
    patch = _sample(labelmap, corner + directions[:, :2] @ first * step, directions, (int(size[0]), int(size[1])), 0.0)
    slope = np.hypot(*np.gradient(patch))
    away = np.abs(patch - 0.5) / np.maximum(slope, 1e-3)
    opacity = np.clip(line / 2 + 0.5 - away, 0.0, 1.0)[..., None]
    part = picture[first[1] : first[1] + size[1], first[0] : first[0] + size[0]]
    part += opacity * (np.array(color, np.float32) - part)


def _mark(draw: ImageDraw.ImageDraw, view: View, plane: float) -> None:
    small, middle, end = ImageFont.load_default(15), PANEL / 2, PANEL - 6
    for letter, place, anchor in zip(
        view.marks, ((6, middle), (end, middle), (middle, 5), (middle, end)), ("lm", "rm", "ma", "md"), strict=True
    ):
        draw.text(place, letter, INK, small, anchor, stroke_width=2, stroke_fill=(0, 0, 0))
    caption = f"{view.name}, {'xyz'[view.axis]} = {plane:.1f} mm"
    draw.text((6, end), caption, INK, ImageFont.load_default(12), "ld", stroke_width=2, stroke_fill=(0, 0, 0))
    if view.axis == 2:
        length = 50.0 / FIELD_MM * PANEL
        draw.line((end - length, end - 4, end, end - 4), INK, 2)
        draw.text(
            (end - length / 2, end - 8),
            "5 cm",
            INK,
            ImageFont.load_default(12),
            "md",
            stroke_width=2,
            stroke_fill=(0, 0, 0),
        )


def _row(text: Image.Image, ct: sitk.Image, outlines: list, centre: np.ndarray, planes: np.ndarray) -> Image.Image:
    row = Image.new("RGB", (TEXT_WIDTH + len(VIEWS) * (PANEL + GAP), max(PANEL, text.height)), PAGE)
    row.paste(text, (0, 0))
    for number, view in enumerate(VIEWS):
        row.paste(
            _panel(view, ct, outlines, centre, float(planes[view.axis])), (TEXT_WIDTH + GAP + number * (PANEL + GAP), 0)
        )
    return row


def _title(model: dict | None, remarks: Sequence[str]) -> Image.Image:
    lines = [("HN Segmenter", 28, INK), (REVIEW, 19, ALERT)]
    if model:
        named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
        lines.append((f"Model {named}, {model.get('digest') or 'no digest'}", 14, FAINT))
    lines += [(sentence, 19, ALERT) for sentence in remarks]
    return _text(TEXT_WIDTH + len(VIEWS) * (PANEL + GAP), lines)


def _organ_text(organ: Organ, shape: Shape) -> Image.Image:
    findings = [(sentence, 15, ALERT) for sentence in organ.checks] or [("No remark by the checks", 15, FAINT)]
    text = _text(TEXT_WIDTH - GAP - SWATCH, [(organ.name, 24, INK), (f"{shape.volume_ml:.1f} ml", 18, INK), *findings])
    block = Image.new("RGB", (TEXT_WIDTH - GAP, text.height), PAGE)
    block.paste(tuple(organ.color), (0, 5, 18, 23))
    block.paste(text, (SWATCH, 0))
    return block


def _without_contours(organs: list[Organ]) -> Image.Image:
    lines = []
    for organ in organs:
        status = organ.status if organ.status in (NOT_FOUND, NOT_IN_MODEL) else NOT_FOUND
        lines.append(
            (f"{organ.name}: {status}. {' '.join(organ.checks)}", 16, FAINT if status == NOT_IN_MODEL else ALERT)
        )
    return _text(TEXT_WIDTH + len(VIEWS) * (PANEL + GAP), lines)


def _text(width: int, lines: list[tuple[str, int, tuple]]) -> Image.Image:
    """Paragraphs (text, size, colour) under each other, wrapped; the built-in font has ASCII only."""
    wrapped = [
        (part, ImageFont.load_default(size), size, color)
        for text, size, color in lines
        for part in _wrap(text.encode("ascii", "replace").decode(), ImageFont.load_default(size), width)
    ]
    image = Image.new("RGB", (width, sum(int(size * 1.35) for *_, size, _ in wrapped) + GAP), PAGE)
    draw, top = ImageDraw.Draw(image), 0
    for part, font, size, color in wrapped:
        draw.text((0, top), part, color, font)
        top += int(size * 1.35)
    return image


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _stack(blocks: list[Image.Image]) -> Image.Image:
    width = max(block.width for block in blocks) + 2 * MARGIN
    page = Image.new("RGB", (width, sum(block.height + GAP for block in blocks) + 2 * MARGIN), PAGE)
    top = MARGIN
    for block in blocks:
        page.paste(block, (MARGIN, top))
        top += block.height + GAP
    return page


def _save(page: Image.Image, path: Path) -> None:
    partial = path.with_name(path.name + ".part")
    try:
        page.save(partial, format="PNG", compress_level=3)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
