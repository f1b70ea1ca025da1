"""The page of overview.png: blocks of text and of pictures under each other, none over another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAGE, INK, FAINT, ALERT = (18, 20, 24), (236, 238, 242), (150, 156, 166), (255, 190, 80)
GAP, MARGIN = 8, 20  # pixels
COLUMNS, LEGEND_SIZE = 6, 15  # of a list of names, and its font


@cache
def font(size: int) -> Font:
    """The built-in one, which has ASCII only."""
    return ImageFont.load_default(size)


def plain(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def text_block(width: int, lines: Sequence[tuple[str, int, Color]]) -> Image.Image:
    """Paragraphs (text, size, colour) under each other, wrapped."""
    wrapped = [
        (part, font(size), size, color) for text, size, color in lines for part in _wrap(plain(text), font(size), width)
    ]
    image = Image.new("RGB", (width, sum(int(size * 1.35) for *_, size, _ in wrapped) + GAP), PAGE)
    draw, top = ImageDraw.Draw(image), 0
    for part, face, size, color in wrapped:
        draw.text((0, top), part, color, face)
        top += int(size * 1.35)
    return image


def _wrap(text: str, face: Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if face.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def name_columns(width: int, names: Sequence[tuple[str, Color, Color | None]]) -> Image.Image:
    """Names (text, colour, colour of the swatch before it) in columns, read down; those too long for one are cut."""
    column, line = width // COLUMNS, int(LEGEND_SIZE * 1.5)
    down = -(-len(names) // COLUMNS)
    image = Image.new("RGB", (width, down * line + GAP), PAGE)
    draw = ImageDraw.Draw(image)
    for number, (text, color, swatch) in enumerate(names):
        left, top = number // down * column, number % down * line
        if swatch is not None:
            draw.rectangle((left, top + 3, left + 12, top + 15), swatch)
            left += 20
        room = (number // down + 1) * column - GAP - left
        draw.text((left, top), _cut(plain(text), room), color, font(LEGEND_SIZE))
    return image


def _cut(text: str, width: int) -> str:
    if font(LEGEND_SIZE).getlength(text) <= width:
        return text
    while text and font(LEGEND_SIZE).getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def stack(blocks: Sequence[Image.Image]) -> Image.Image:
    width = max(block.width for block in blocks) + 2 * MARGIN
    page = Image.new("RGB", (width, sum(block.height + GAP for block in blocks) + 2 * MARGIN), PAGE)
    top = MARGIN
    for block in blocks:
        page.paste(block, (MARGIN, top))
        top += block.height + GAP
    return page


def save(page: Image.Image, path: Path) -> None:
    """As PNG; beside first, then renamed."""
    partial = path.with_name(path.name + ".part")
    try:
        page.save(partial, format="PNG", compress_level=3)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
