"""overview.png: each organ's outline on an axial, a coronal and a sagittal slice, for a first look without a viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image

from ..checks.shapes import Shape, measure
from ..result import NOT_FOUND, NOT_IN_MODEL, Organ
from .page import ALERT, FAINT, GAP, INK, PAGE, name_columns, save, stack, text_block
from .panels import PANEL, VIEWS, Frame, Outlined, middle_of, panel, planes_of, slice_of

REVIEW = "Research use - a clinician must review every contour"
TEXT_WIDTH, SWATCH = 330, 28
WIDTH = TEXT_WIDTH + len(VIEWS) * (PANEL + GAP)
MOST_ROWS = 12  # shown unasked: a page that one still looks through
LEGEND_FROM = 7  # of so many a reader no longer sees all rows at once
ALL = "all"
THUMBNAIL, THUMBNAIL_LINE = 150, 5.0  # pixels: of each panel, and of its outlines before it is reduced


def draw_overview(
    ct_image: sitk.Image,
    labelmaps: Mapping[str, sitk.Image],
    organs: Sequence[Organ],
    path: Path,
    model: dict | None = None,
    remarks: Sequence[str] = (),
    chosen: Sequence[str] = (),
) -> None:
    """Write overview.png: a row for each organ that `choose` takes, then the others and those without contours.

    ct_image: int16 HU, any direction; labelmaps: binary uint8 on its grid, key TG-263 name; model: result.json's
    "model" (name, version, digest), named in the title; remarks: on the whole scan, beneath the title; chosen: names of
    organs, or "all". Nothing of the patient but the pictures goes in.
    """
    drawn = [organ for organ in organs if organ.name in labelmaps and organ.found]
    rows: list[tuple[Organ, Outlined]] = []
    empty: list[Organ] = []
    taken = choose(drawn, chosen)
    for organ in taken:
        labelmap = labelmaps[organ.name]
        shape = measure(organ.name, labelmap)
        if shape is None:
            empty.append(organ)
        else:
            rows.append((organ, Outlined.of(labelmap, shape, organ.color)))
    blocks = [_title(model, remarks)]
    if len(rows) >= LEGEND_FROM:
        blocks.append(name_columns(WIDTH, [(organ.name, INK, organ.color) for organ, _ in rows]))
    blocks += _rows(ct_image, rows)
    blocks += _left_out([organ for organ in drawn if organ not in taken], len(drawn))
    blocks += _without_contours([organ for organ in organs if organ not in drawn or organ in empty])
    save(stack(blocks), path)


def draw_thumbnail(
    ct_image: sitk.Image, labelmaps: Mapping[str, sitk.Image], organs: Sequence[Organ], path: Path
) -> None:
    """Write a PNG for lists of patients: a coronal and a sagittal panel, each through the middle of what was found,
    side by side and without letters. Arguments as of draw_overview."""
    outlines = []
    for organ in organs:
        if organ.name in labelmaps and organ.found:
            labelmap = labelmaps[organ.name]
            if shape := measure(organ.name, labelmap):
                outlines.append(Outlined.of(labelmap, shape, organ.color))
    middle = middle_of(ct_image, [outlined.shape for outlined in outlines])
    image = Image.new("RGB", (2 * PANEL, PANEL), PAGE)
    for number, view in enumerate(VIEWS[1:]):
        plane = float(middle[view.axis])
        frame = Frame.of(view, middle, plane, None)
        image.paste(slice_of(view, ct_image, outlines, frame, plane, THUMBNAIL_LINE), (number * PANEL, 0))
    save(image.resize((2 * THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), path)


def choose(organs: Sequence[Organ], names: Sequence[str] = ()) -> list[Organ]:
    """The organs that get a row, in the model's order: those named (upper and lower case alike), all of them for "all".

    Without names, or where none of them is there: up to 12 organs, those with a remark by the checks first, then as the
    model has them.
    """
    wanted = {name.casefold() for name in names}
    asked = [organ for organ in organs if organ.name.casefold() in wanted or wanted == {ALL}]
    if asked:
        return asked
    first = sorted(organs, key=lambda organ: not organ.checks)[:MOST_ROWS]
    return [organ for organ in organs if organ in first]


def unknown(organs: Sequence[Organ], names: Sequence[str]) -> list[str]:
    """Names that are no organ's."""
    known = {organ.name.casefold() for organ in organs} | {ALL}
    return [name for name in names if name.casefold() not in known]


def _rows(ct: sitk.Image, rows: Sequence[tuple[Organ, Outlined]]) -> list[Image.Image]:
    middle = middle_of(ct, [outlined.shape for _, outlined in rows])
    if not rows:
        return [_row(text_block(TEXT_WIDTH, [("No organ was found.", 18, ALERT)]), ct, [], middle, middle, None)]
    blocks = []
    for organ, own in rows:
        centre = middle.copy()
        centre[2] = (own.shape.low[2] + own.shape.high[2]) / 2
        outlines = [outlined for _, outlined in rows if outlined is not own] + [own]
        text = _organ_text(organ, own.shape)
        blocks.append(_row(text, ct, outlines, centre, planes_of(ct, own.shape), own.shape))
    return blocks


def _row(
    text: Image.Image,
    ct: sitk.Image,
    outlines: Sequence[Outlined],
    centre: np.ndarray,
    planes: np.ndarray,
    shape: Shape | None,
) -> Image.Image:
    row = Image.new("RGB", (WIDTH, max(PANEL, text.height)), PAGE)
    row.paste(text, (0, 0))
    for number, view in enumerate(VIEWS):
        plane = float(planes[view.axis])
        picture = panel(view, ct, outlines, Frame.of(view, centre, plane, shape), plane)
        row.paste(picture, (TEXT_WIDTH + GAP + number * (PANEL + GAP), 0))
    return row


def _title(model: dict | None, remarks: Sequence[str]) -> Image.Image:
    lines = [("HN Segmenter", 28, INK), (REVIEW, 19, ALERT)]
    if model:
        named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
        lines.append((f"Model {named}, {model.get('digest') or 'no digest'}", 14, FAINT))
    lines += [(sentence, 19, ALERT) for sentence in remarks]
    return text_block(WIDTH, lines)


def _organ_text(organ: Organ, shape: Shape) -> Image.Image:
    findings = [(sentence, 15, ALERT) for sentence in organ.checks] or [("No remark by the checks", 15, FAINT)]
    lines = [(organ.name, 24, INK), (f"{shape.volume_ml:.1f} ml", 18, INK), *findings]
    text = text_block(TEXT_WIDTH - GAP - SWATCH, lines)
    block = Image.new("RGB", (TEXT_WIDTH - GAP, text.height), PAGE)
    block.paste(tuple(organ.color), (0, 5, 18, 23))
    block.paste(text, (SWATCH, 0))
    return block


def _left_out(organs: Sequence[Organ], found: int) -> list[Image.Image]:
    """The organs found that have no row."""
    if not organs:
        return []
    said = f"Found, but not shown here: {len(organs)} of {found} organs (--overview Organ,Organ or --overview all)."
    odd = sum(bool(organ.checks) for organ in organs)
    lines = [(said, 18, INK)]
    if odd:
        lines.append((f"Of {odd} of these the checks remark something.", 15, ALERT))
    names = [(organ.name, ALERT if organ.checks else FAINT, None) for organ in organs]
    return [text_block(WIDTH, lines), name_columns(WIDTH, names)]


def _without_contours(organs: Sequence[Organ]) -> list[Image.Image]:
    """A line each, with what the checks say of it; of many the names alone."""
    lines = []
    status = {organ.name: organ.status if organ.status == NOT_IN_MODEL else NOT_FOUND for organ in organs}
    colors = {NOT_FOUND: ALERT, NOT_IN_MODEL: FAINT}
    if len(organs) <= MOST_ROWS:
        for organ in organs:
            said = status[organ.name]
            lines.append((f"{organ.name}: {said}. {' '.join(organ.checks)}", 16, colors[said]))
        return [text_block(WIDTH, lines)]
    blocks = []
    for said, color in colors.items():
        names = [(name, FAINT, None) for name, own in status.items() if own == said]
        if names:
            blocks.append(text_block(WIDTH, [(f"{len(names)} organs {said}:", 18, color)]))
            blocks.append(name_columns(WIDTH, names))
    return blocks
