"""Draws the plan of the house from its imports: docs/rooms.svg, and the table of rooms in docs/design.md.

    python -m tools.picture

A room stands above all that it imports. Arrows that follow from others are left out: what the pipeline imports is below
what imports the pipeline. The same imports give the same picture, byte for byte.
"""

from __future__ import annotations

import html
import re
from itertools import pairwise
from textwrap import wrap

from .imports import ROOT, File, Room, read, room_of, rooms

PICTURE, PAGE = ROOT / "docs" / "rooms.svg", ROOT / "docs" / "design.md"
TABLE = re.compile(r"(<!-- rooms: [^>]*-->\n).*?(<!-- rooms end -->)", re.DOTALL)
WIDTH, HEIGHT, GAP, RISE, EDGE = 184, 62, 22, 54, 16  # of a room's box, between boxes, between floors, around all
SLICER, NETWORK = "#fbe9c6", "#e6def2"
COLOURS = {
    "service": "#dcefdc",
    "scene": SLICER,
    "widgets": SLICER,
    "module": SLICER,
    "container": NETWORK,
    "training": NETWORK,
    "tools": "#e8e8e8",
}
LIBRARY = "#d8e7f6"

Passage = tuple[str, str, int]  # the place on a floor where an arrow passes: from, to, floor
Node = str | Passage  # a room, or a passage


def edges(files: list[File], among: list[Room]) -> dict[str, set[str]]:
    """Room -> rooms that its files import."""
    found: dict[str, set[str]] = {room.name: set() for room in among}
    for file in files:
        here = room_of(file.path, among)
        if here is not None:
            found[here.name] |= {there.name for path in file.files if (there := room_of(path, among))} - {here.name}
    return found


def reduced(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others."""
    below: dict[str, set[str]] = {}
    for name, there in imports.items():  # from the ground up
        below[name] = set().union(there, *(below[other] for other in there))
    return {
        name: {other for other in there if not any(other in below[third] for third in there)}
        for name, there in imports.items()
    }


def floors(imports: dict[str, set[str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, there in imports.items():
        found[name] = 1 + max((found[other] for other in there), default=-1)
    return found


def places(
    arrows: dict[str, set[str]], floor: dict[str, int]
) -> tuple[dict[Node, float], dict[tuple[str, str], list[Node]]]:
    """x of the middle of every room and of every passage, and the nodes that each arrow goes through, from above."""
    ways: dict[tuple[str, str], list[Node]] = {}
    rows: list[list[Node]] = [[] for _ in range(max(floor.values()) + 1)]
    for name, level in floor.items():
        rows[level].append(name)
    for name, there in arrows.items():
        for other in sorted(there):
            passages: list[Passage] = [(name, other, level) for level in range(floor[name] - 1, floor[other], -1)]
            ways[name, other] = [name, *passages, other]
            for node in passages:
                rows[node[2]].append(node)
    beside: dict[Node, list[Node]] = {node: [] for row in rows for node in row}
    for way in ways.values():
        for one, next_ in pairwise(way):
            beside[one].append(next_)
            beside[next_].append(one)
    x: dict[Node, float] = {}
    for row in rows:
        _set(row, {node: float(place) for place, node in enumerate(row)}, x)
    for sweep in range(24):
        for row in rows if sweep % 2 else rows[::-1]:
            wanted = {
                node: sum(x[other] for other in beside[node]) / len(beside[node]) if beside[node] else None
                for node in row
            }
            _set(sorted(row, key=lambda node: (wanted[node] is None, wanted[node] or 0.0, x[node])), wanted, x)
    least = min(x[node] - _half(node) for node in x)
    return {node: round(value - least + EDGE, 1) for node, value in x.items()}, ways


def _half(node: Node) -> float:
    return WIDTH / 2 if isinstance(node, str) else 4


def _set(row: list[Node], wanted: dict[Node, float | None], x: dict[Node, float]) -> None:
    """Nodes in that order, each as near to where it wants to be as the others let it; None: beside the one before."""
    blocks: list[
        tuple[list[Node], float, float, float]
    ] = []  # nodes side by side, weight, weight times left end, width
    for node in row:
        at = wanted[node]
        weight = 1e-9 if at is None else 1.0
        block = ([node], weight, 0.0 if at is None else at - _half(node), 2 * _half(node))
        while blocks and blocks[-1][2] / blocks[-1][1] + blocks[-1][3] + GAP > block[2] / block[1]:
            nodes, before, total, width = blocks.pop()
            shift = width + GAP
            block = (nodes + block[0], before + block[1], total + block[2] - block[1] * shift, shift + block[3])
        blocks.append(block)
    for nodes, weight, total, _ in blocks:
        left = total / weight
        for node in nodes:
            x[node] = left + _half(node)
            left += 2 * _half(node) + GAP


def draw(files: list[File], among: list[Room]) -> str:
    """The SVG."""
    arrows = reduced(edges(files, among))
    floor = floors(arrows)
    x, ways = places(arrows, floor)
    top = max(floor.values())

    def y(level: int) -> float:
        return EDGE + (top - level) * (HEIGHT + RISE)

    width = round(max(value + _half(node) for node, value in x.items()) + EDGE)
    height = round(y(0) + HEIGHT + EDGE)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
        ' font-family="sans-serif">',
        "<title>The rooms, each above all that it imports</title>",
        '<defs><marker id="tip" markerWidth="7" markerHeight="7" refX="6" refY="3.5" orient="auto">',
        '<path d="M0,0 L7,3.5 L0,7 z" fill="#555"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for (name, other), way in sorted(ways.items()):
        begin = x[name] + _port(x, way[1], [w[1] for (a, _), w in ways.items() if a == name])
        end = x[other] + _port(x, way[-2], [w[-2] for (_, b), w in ways.items() if b == other])
        points = [(begin, y(floor[name]) + HEIGHT)]
        for node in (node for node in way if isinstance(node, tuple)):
            points += [(x[node], y(node[2])), (x[node], y(node[2]) + HEIGHT)]
        points.append((end, y(floor[other])))
        lines.append(
            f'<path d="{_curve(points)}" fill="none" stroke="#555" stroke-width="1.2" marker-end="url(#tip)"/>'
        )
    for room in among:
        lines += _box(room, x[room.name] - WIDTH / 2, y(floor[room.name]))
    return "\n".join([*lines, "</svg>", ""])


def _port(x: dict[Node, float], neighbour: Node, neighbours: list[Node]) -> float:
    """Where on a box's edge an arrow begins or ends: side by side in the order of where they go."""
    order = sorted(neighbours, key=lambda other: (x[other], str(other)))
    return (order.index(neighbour) - (len(order) - 1) / 2) * min(26, (WIDTH - 30) / len(order))


def _curve(points: list[tuple[float, float]]) -> str:
    text = f"M{points[0][0]:g},{points[0][1]:g}"
    for (x0, y0), (x1, y1) in pairwise(points):
        text += f" L{x1:g},{y1:g}" if x0 == x1 else f" C{x0:g},{(y0 + y1) / 2:g} {x1:g},{(y0 + y1) / 2:g} {x1:g},{y1:g}"
    return text


def _box(room: Room, left: float, top: float) -> list[str]:
    colour = COLOURS.get(room.name.split("/")[0], LIBRARY)
    words = wrap(re.split("[:;]", room.what)[0], 28)
    if len(words) > 2:
        raise ValueError(f"{room.name}: what it is, up to the first : or ;, does not fit into its box: say it shorter.")
    box = f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{colour}" stroke="#888"/>'
    lines = [(19, 'font-size="14" font-weight="bold"', room.name)]
    lines += [(36 + 14 * number, 'font-size="11"', line) for number, line in enumerate(words)]
    middle = left + WIDTH / 2
    return [box] + [
        f'<text x="{middle:g}" y="{top + down:g}" {font} text-anchor="middle">{html.escape(text)}</text>'
        for down, font, text in lines
    ]


def table(among: list[Room]) -> str:
    """Markdown, from the top floor down."""
    rows = ["| room | place | is | imports of ours | of others |", "| --- | --- | --- | --- | --- |"]
    for room in reversed(among):
        cells = (
            f"**{room.name}**",
            _place(room),
            room.what,
            ", ".join(room.imports) or "nothing",
            ", ".join(room.packages) or "nothing",
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _place(room: Room) -> str:
    short = [place.removeprefix("HNSegmenter/") for place in room.places]
    first, *rest = short
    return ", ".join(f"`{place}`" for place in [first, *(place.rpartition("/")[2] or place for place in rest)])


def page(text: str, among: list[Room]) -> str:
    """design.md with the table of now."""
    return TABLE.sub(lambda found: f"{found[1]}\n{table(among)}\n{found[2]}", text)


def main() -> None:
    files, among = read(), rooms()
    PICTURE.write_text(draw(files, among), encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), among), encoding="utf-8")


if __name__ == "__main__":
    main()
