"""How much is corrected, as one HTML file: it names organs and models, never a patient or a reviewer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from ...checks.checks import readable
from ...errors import HNSegmenterError, UnusableInput
from . import plots
from .history import Entry, Figures, Share, figures, less_often, models, nearer, sentence
from .plots import percent

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 920px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
svg { display: block; margin: .3em 0; } svg text { font: 12px system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .2em .6em; border-bottom: 1px solid #ddd; }
th { text-align: left; vertical-align: bottom; font-weight: 600; } td.n, th.n { text-align: right; }
.key { margin-right: 1.5em; } .key i { display: inline-block; width: .9em; height: .9em; margin-right: .4em; }
.note { color: #555; font-size: .9em; }
@media print { h2 { break-after: avoid; } svg, tr { break-inside: avoid; } }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the browser loads and runs nothing
COLUMNS = ("Organ", "Model", "Corrected in", "Dice, mean", "Volume, median", "Largest distance, median")


def write(found: Sequence[Entry], out: Path) -> None:
    """The page, beside and then renamed. Raises UnusableInput (nothing to show), HNSegmenterError (cannot write)."""
    if not found:
        raise UnusableInput(
            "No approval was measured yet: the report begins with the first patient who is approved from now on."
        )
    partial = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(html(found), encoding="utf-8")
        partial.replace(out)
    except OSError as error:
        raise HNSegmenterError(
            f"{out} could not be written ({error.strerror}): name another file with --out."
        ) from error


def html(found: Sequence[Entry]) -> str:
    """found: at least one approval, oldest first."""
    sums, known = figures(found), models(found)
    groups = [list(group) for _, group in groupby(sums, key=lambda one: one.organ)]
    colors = plots.colors_of(known)
    shown = [[one for one in group if one.model in colors] for group in groups]
    begins = [(next(e.time for e in found if any(o.model == model for o in e.organs)), model) for model in known]
    days = f"{found[0].time:%d %b %Y} to {found[-1].time:%d %b %Y}"
    body = [
        "<h1>What reviewers correct</h1>",
        f"<p>Approved patients: {len(found)}, {days}. {escape(sentence(found))}</p>",
        "<h2>Which organs are corrected most</h2>",
        f"<p>{plots.legend(colors)}</p>",
        plots.bars([group for group in shown if group], colors),
        _note("The line in each bar is the 95 % interval of the share: with few patients it is long."),
        "<h2>Whether it gets better</h2>",
        _comparison(groups, known),
        "<h2>Over time</h2>",
        _note(
            "Dice of what the network drew with what was approved; a dot a patient: "
            f"{_colored('edited', plots.BLUE)}, {_colored('added or removed', plots.ORANGE)}, "
            f"{_colored('left as drawn', plots.GREY)}. "
            f"The line is the mean of the last {plots.WINDOW} of whom it was edited or left, the dashed "
            "line a new model's first patient."
        ),
        *(plots.over_time(group[0].organ, found, _own(begins, group), group is groups[0]) for group in groups),
        "<h2>In figures</h2>",
        _table(sums),
        _note(
            "Dice: 1 where an organ was left as drawn, 0 where it was added or removed. Volume and largest distance: "
            "of the edited organs alone; the volume's change is relative to what was drawn."
        ),
        _note(
            "Made by HN Segmenter from what its node measured at each approval. An organ that nobody corrected need "
            "not be right: that a reviewer let it stand is all that is known."
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width"><title>What reviewers correct</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _note(text: str) -> str:
    return f'<p class="note">{text}</p>'


def _colored(text: str, color: str) -> str:
    return f'<span style="color:{color}">{text}</span>'


def _own(begins, group: Sequence[Figures]):
    """Of the models that drew this organ."""
    return [(when, model) for when, model in begins if any(one.model == model for one in group)]


def _comparison(groups: Sequence[Sequence[Figures]], known: Sequence[str]) -> str:
    compared = [(group[-2], group[-1]) for group in groups if len(group) > 1]
    if not compared:
        return f"<p>All were drawn by {escape(known[0] or 'one model')}: there is no other version to compare with.</p>"
    told = [_together(compared), *(_compared(before, after) for before, after in compared)]
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in told)}</ul>"


def _together(compared: Sequence[tuple[Figures, Figures]]) -> str:
    """Of all organs; without a verdict, for organs of one patient go together."""
    before, after = (
        Share(sum(one.share.corrected for one in column), sum(one.share.patients for one in column))
        for column in zip(*compared, strict=True)
    )
    with_before = f"with the model before in {percent(before.value)}"
    return f"All organs together: corrected in {percent(after.value)}, {with_before}."


def _compared(before: Figures, after: Figures) -> str:
    """One organ by its last model and the one before."""
    often = {True: "less often than", False: "more often than", None: "not clearly more or less often than"}
    near = {True: "clearly nearer", False: "clearly farther", None: "no clear difference"}
    return (
        f"{readable(after.organ)}: corrected in {percent(after.share.value)} of {after.share.patients} patients, "
        f"{often[less_often(before.share, after.share)]} with {before.model} "
        f"({percent(before.share.value)} of {before.share.patients}). "
        f"Dice {_number(after.mean_dice)} instead of {_number(before.mean_dice)}: "
        f"{near[nearer(before.dice, after.dice)]}."
    )


def _table(sums: Sequence[Figures]) -> str:
    head = "".join(f"<th{_numeric(n)}>{name}</th>" for n, name in enumerate(COLUMNS))
    rows = "".join(
        "<tr>" + "".join(f"<td{_numeric(n)}>{escape(cell)}</td>" for n, cell in enumerate(_cells(one))) + "</tr>"
        for one in sums
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _numeric(column: int) -> str:
    return ' class="n"' if column > 1 else ""


def _cells(one: Figures) -> tuple[str, ...]:
    return (
        one.organ,
        one.model,
        f"{one.share.corrected} of {one.share.patients} ({percent(one.share.value)})",
        _number(one.mean_dice) if one.dice else "",
        "" if one.volume_change_percent is None else f"{one.volume_change_percent:+.0f} %",
        "" if one.largest_mm is None else f"{one.largest_mm:.1f} mm",
    )


def _number(value: float) -> str:
    return f"{value:.3f}"
