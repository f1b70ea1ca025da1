"""index.html: every series with its picture, volumes and what is to be looked at, to be sorted and searched.

It is for the screen of somebody who may see the patients, and shows where they lie. It loads nothing from anywhere but
the thumbnails beside it, and says so to the browser (Content-Security-Policy).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..overview import REVIEW
from ..pipeline import OVERVIEW
from ..result import FOUND, NOT_FOUND, Organ
from .lists import WAITING, Entry, counts
from .one import DONE, FAILED, LEFT_OUT
from .page_parts import SCRIPT, STYLE
from .results import RECORD, THUMBNAIL

ORDER = {FAILED: 0, DONE: 1, WAITING: 2}
SHOWN = 2  # remarks of a series that are seen at once


@dataclass(frozen=True)
class About:
    """Of the page itself. when: as people read it."""

    root: Path
    when: str
    files: int
    others: int


def page(entries: list[Entry], about: About) -> str:
    """The whole file."""
    rows = [entry for entry in entries if entry.state != LEFT_OUT]
    organs = list(dict.fromkeys(organ.name for entry in rows if entry.result for organ in entry.result.organs))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{_policy()}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>HN Segmenter: batch</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{_head(entries, about)}"
        '<p class="tools"><label>Find <input id="find" type="search" '
        'placeholder="path, UID, organ, sentence"></label> <span id="shown" role="status"></span></p>\n'
        f'<table id="series">\n<thead><tr>{_columns(organs)}</tr></thead>\n<tbody>\n'
        + "".join(_row(entry, organs) for entry in rows)
        + f"</tbody>\n</table>\n{_left_out([entry for entry in entries if entry.state == LEFT_OUT])}"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _policy() -> str:
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (STYLE, SCRIPT))
    rules = (
        f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


def _head(entries: list[Entry], about: About) -> str:
    count = counts(entries)
    odd = sum(bool(entry.remarks) for entry in entries if entry.state == DONE)
    waiting = f", {count[WAITING]} not yet" if count[WAITING] else ""
    models = sorted({_model(model) for entry in entries if entry.result for model in entry.result.models})
    return (
        f"<h1>{count[DONE]} contoured, {count[FAILED]} failed{waiting}</h1>\n"
        f'<p class="review">{_text(REVIEW)}.</p>\n'
        f"<p>{odd} with something to look at. Not planning CTs: {count[LEFT_OUT]} CT series, {about.others} others. "
        f"{about.files} files were looked at below <code>{_text(str(about.root))}</code>.</p>\n"
        f'<p class="faint">Written {_text(about.when)}. Model: {_text("; ".join(models) or "none yet")}. Click on a '
        "heading, or press Enter there, to sort. This page shows patients and where they lie: keep it where the CTs "
        "are.</p>\n"
    )


def _model(model: dict) -> str:
    return f"{model.get('name', '?')} {model.get('version', '')} {str(model.get('digest', ''))[:19]}"


def _columns(organs: list[str]) -> str:
    def sortable(text: str, first: str = "rising", sort: str = "none") -> str:
        button = f'<button type="button">{_text(text)}</button>'
        return f'<th scope="col" aria-sort="{sort}" data-first="{first}">{button}</th>'

    return (
        '<th scope="col"><span>Picture</span></th>'
        + sortable("Where, and Series UID", sort="ascending")
        + sortable("State")
        + sortable("To look at", "falling")
        + "".join(sortable(organ) for organ in organs)
    )


def _row(entry: Entry, organs: list[str]) -> str:
    kind = entry.state if entry.state != DONE else "odd" if entry.remarks else "sound"
    by_name = {organ.name: organ for organ in entry.result.organs} if entry.result else {}
    cells = "".join(_organ(entry, by_name.get(name)) for name in organs)
    return f'<tr class="{kind}">{_picture(entry)}{_who(entry)}{_state(entry)}{_look(entry)}{cells}</tr>\n'


def _picture(entry: Entry) -> str:
    if entry.result is None:
        return '<td class="picture"></td>'
    return (
        f'<td class="picture"><a href="{entry.folder}/{OVERVIEW}" title="all organs, on slices of three directions">'
        f'<img src="{entry.folder}/{THUMBNAIL}" width="160" height="80" loading="lazy" '
        'alt="contours, coronal and sagittal"></a></td>'
    )


def _who(entry: Entry) -> str:
    place = _text(entry.place) if entry.place else "<i>not in the folder any more</i>"
    images = f"{entry.images} images, " if entry.images else ""
    results = f'<a href="{entry.folder}/">{entry.folder}</a>' if entry.result else entry.folder
    return (
        f'<td class="who" data-v="{_text(entry.place or "~")}"><b>{place}</b><br><code>{_text(entry.series_uid)}</code>'
        f"<br><small>{images}{results}</small></td>"
    )


def _state(entry: Entry) -> str:
    return f'<td class="state" data-v="{ORDER.get(entry.state, 9)}">{_text(entry.state)}</td>'


def _look(entry: Entry) -> str:
    remarks = [f"<li>{_text(sentence)}</li>" for sentence in entry.remarks]
    first, more = "".join(remarks[:SHOWN]), remarks[SHOWN:]
    listed = f"<ul>{first}</ul>" if first else ""
    if more:
        listed += f"<details><summary>{len(more)} more</summary><ul>{''.join(more)}</ul></details>"
    return f'<td class="look" data-v="{len(remarks)}">{listed}</td>'


def _organ(entry: Entry, organ: Organ | None) -> str:
    if organ is None or entry.result is None:
        return '<td class="number"></td>'
    if organ.status != FOUND:
        said = f'<span class="flag">{_text(organ.status)}</span>' if organ.status == NOT_FOUND else ""
        return f'<td class="number">{said}</td>'
    hu = entry.result.input[RECORD].get("hu", {}).get(organ.name)
    tissue = f"<br><small>{hu['mean']:.0f} \u00b1 {hu['sd']:.0f} HU</small>" if hu else ""
    volume = f"{organ.volume_ml:.1f} ml"
    said = f'<span class="flag">{volume} !</span>' if organ.checks else volume
    return f'<td class="number" data-v="{organ.volume_ml:.3f}">{said}{tissue}</td>'


def _left_out(entries: list[Entry]) -> str:
    if not entries:
        return ""
    rows = "".join(
        f"<tr><td>{_text(entry.place)}<br><code>{_text(entry.series_uid)}</code></td><td>{entry.images}</td>"
        f"<td>{_text(entry.reason)}</td></tr>\n"
        for entry in entries
    )
    heads = "".join(f'<th scope="col"><span>{head}</span></th>' for head in ("Where, and Series UID", "Images", "Why"))
    return (
        f"<details><summary><h2>CT series that are no planning CT: {len(entries)}</h2></summary>\n<table>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></details>\n"
    )


def _text(text: str) -> str:
    """Paths may hold what is neither HTML nor Unicode."""
    return escape(text.encode("utf-8", "replace").decode())
