"""hn-segmenter node collect and node report: what a clinic can learn from its own approvals."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ...errors import WrongUsage
from ...events import Event


def add_actions(actions) -> None:
    collect = actions.add_parser(
        "collect",
        help="approved patients as training data",
        description="Write the approved patients of the node, or CTs and structure sets of a folder, as training data "
        "for hn_training adapt: numbered, without names, dates, UIDs or texts. The pixels still show a face.",
    )
    collect.add_argument("--out", type=Path, required=True, metavar="DATA", help="a new folder")
    collect.add_argument("--config", type=Path, metavar="FILE", help="service.toml: collect from its node")
    collect.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="collect from a folder of CTs and structure sets instead: you answer for their contours",
    )
    collect.add_argument("--names", type=Path, metavar="TABLE", help="TG-263 name and the clinic's (JSON or CSV)")
    collect.add_argument("--reviewer", action="append", default=[], metavar="NAME", help="approved by (repeatable)")
    collect.add_argument("--destination", action="append", default=[], metavar="NAME", help="sent to (repeatable)")
    collect.add_argument("--since", metavar="DATE", help="approved on 2026-11-27 or later")
    collect.add_argument("--until", metavar="DATE", help="approved on that day or before")
    collect.add_argument(
        "--only", choices=("edited", "untouched"), help="patients of whom some organ, or none, was edited"
    )
    collect.add_argument(
        "--despite-checks", action="store_true", help="also patients whose contours the checks find odd"
    )
    collect.add_argument(
        "--key", type=Path, metavar="FILE", help="also write which patient is which series; for you alone (mode 600)"
    )
    report = actions.add_parser(
        "report",
        help="how much is corrected, as a page",
        description="Which organs reviewers correct most, by version of the model, and whether it gets better.",
    )
    report.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")
    report.add_argument(
        "--out", type=Path, default=Path("corrections.html"), metavar="FILE", help="default: %(default)s"
    )
    for action in (collect, report):
        action.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
        action.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")


def collect(args, ui) -> int:
    from ...rtstruct import NameTable

    names = NameTable.read(args.names) if args.names else NameTable()
    if (args.source is None) == (args.config is None):
        raise WrongUsage("Say where from: --config service.toml for the node, or --from FOLDER.")
    collected = _from_folder(args, ui, names) if args.source else _from_node(args, ui, names)
    for origin, reason in collected.left_out:
        ui.say(f"Left out {origin.series}: {reason}")
    ui.table(("Organ", "Label", "Patients"), [(n, v, collected.counts[n]) for n, v in collected.labels.items()])
    ui.say(f"Wrote {len(collected.names)} patients to {args.out}; {len(collected.left_out)} were left out.")
    if args.key:
        ui.say(f"Wrote {args.key}, which says who they are: keep it apart from them.")
    ui.result(
        {
            "out": str(args.out),
            "patients": list(collected.names),
            "labels": collected.labels,
            "left_out": [{"series_uid": origin.series_uid, "reason": reason} for origin, reason in collected.left_out],
        }
    )
    return 0


def _from_node(args, ui, names):
    from ...service.collecting.node import Wanted, approvals, cases
    from ...service.node.client import Node
    from ...service.settings import load

    settings = load(args.config)
    if unknown := [name for name in args.destination if name not in settings.destinations]:
        raise WrongUsage(f"{unknown[0]} is no destination of {args.config}.")
    wanted = Wanted(
        tuple(args.reviewer), tuple(args.destination), _day(args.since, "--since"), _day(args.until, "--until")
    )
    with Node(settings.node) as node:
        found = approvals(node, wanted)
        return _collect(args, ui, cases(node, found, names, args.cancel), "approved", len(found))


def _from_folder(args, ui, names):
    from ...service.collecting.folder import Folder

    if args.reviewer or args.destination or args.since or args.until or args.only:
        raise WrongUsage("A folder does not tell who approved what: these filters are for the node's patients.")
    folder = Folder.read(args.source, names, ui.emit, args.cancel)
    collected = _collect(args, ui, folder.cases(args.cancel), "clinic", len(folder.sets) + len(folder.homeless))
    if folder.unknown:
        told = ", ".join(f"{name} ({count})" for name, count in folder.unknown.most_common())
        ui.say(f"Names that are no organ's, left out: {told}. Name them in --names if they are.")
    return collected


def _collect(args, ui, found, hand: str, total: int):
    from ...service.collecting.writing import collect as write

    return write(
        found,
        args.out,
        hand,
        total=total,
        only=args.only,
        despite_checks=args.despite_checks,
        key=args.key,
        emit=ui.emit,
    )


def _day(text: str | None, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise WrongUsage(f"{option} {text} is no date: write it as 2026-11-27.") from None


def report(args, ui) -> int:
    from ...service.corrections import history, page
    from ...service.settings import load
    from ...service.table.interface import Job
    from ...service.table.opening import open_table

    table = open_table(load(args.config).worker)
    try:
        jobs = table.rows(Job)
    finally:
        table.close()
    found = history.entries(job.summary.get("corrections") for job in jobs)
    page.write(found, args.out)
    ui.say(history.sentence(found))
    ui.emit(Event("progress", "report", 1.0))
    ui.say(f"Wrote {args.out}: {len(found)} approvals.")
    ui.result({"out": str(args.out), "approvals": len(found), "corrected": history.sentence(found)})
    return 0
