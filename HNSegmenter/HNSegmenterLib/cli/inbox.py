"""hn-segmenter inbox: patients that wait for a review on the node, what to do with them,
and whether the connections work."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from ..errors import Cancelled
from ..events import Event


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "inbox",
        help="review what the node's worker has segmented",
        description="Patients on the DICOM node: list them, fetch CT and structures, approve (which sends) or reject.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "patients, newest first")
    listing.add_argument(
        "--long", action="store_true", help="all that is told of each patient, several lines a patient"
    )
    fetch = _action(actions, "fetch", "write a patient's CT and results into a folder", series=True)
    fetch.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder; holds the patient's data")
    approve = _action(
        actions, "approve", "hand a reviewed structure set to the worker, which sends it", series=True, review=True
    )
    approve.add_argument(
        "--rtstruct", type=Path, required=True, metavar="FILE", help="the structure set as it was reviewed"
    )
    approve.add_argument(
        "--destination",
        action="append",
        default=[],
        metavar="NAME",
        help="where to (default: all that are not automatic)",
    )
    agreeing = approve.add_mutually_exclusive_group()
    agreeing.add_argument(
        "--yes", action="store_true", help="also where the structure set has to be changed; how is printed"
    )
    agreeing.add_argument(
        "--agreed", metavar="DIGEST", help="also where it has to be changed just as the event `changes` said"
    )
    approve.add_argument(
        "--ct", type=Path, metavar="DIR", help="the CT that fetch wrote (default: read from the node again)"
    )
    reject = _action(actions, "reject", "say that a result is not to be used", series=True, review=True)
    reject.add_argument("--reason", required=True, metavar="TEXT", help="in a few words, without the patient's name")
    _action(actions, "connections", "C-ECHO to the node and the planning systems")


def _action(actions, name: str, text: str, series: bool = False, review: bool = False):
    action = actions.add_parser(name, help=text)
    if series:
        action.add_argument(
            "series",
            metavar="SERIES",
            help="the series' id as listed (its beginning is enough), or its Series Instance UID",
        )
    if review:
        action.add_argument(
            "--reviewer", required=True, metavar="NAME", help="who reviewed it; stands in the structure set"
        )
        action.add_argument("--job", metavar="ID", help="the result that was reviewed: refused if there is a newer one")
    action.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")
    action.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
    action.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")
    return action


def run(args, ui) -> int:
    from ..service.settings import load

    return _ACTIONS[args.action](args, ui, load(args.config))


def _list(args, ui, settings) -> int:
    from ..service.corrections.history import entries, sentence
    from ..service.ids import shortened
    from ..service.inbox import listing
    from ..service.node.client import Node

    with Node(settings.node) as node:
        rows = listing.patients(node)
        ids = shortened(node.all_series() + [row["series"] for row in rows])
    if args.long:
        for row in rows:
            ui.say(_whole(row))
    else:
        columns = ("Series", "Received", "State", "Patient", "ID", "Remarks")
        keys = ("state", "patient_name", "patient_id")
        cells = [(ids[row["series"]], _received(row), *(row[key] for key in keys), _remarks(row)) for row in rows]
        if ui.lines(columns, cells, whole=3):
            ui.say("Whole names, remarks and UIDs: --long")
    corrected = sentence(entries(row["corrections"] for row in rows))
    if corrected:
        ui.say(corrected)
    ui.result({"patients": rows, "corrected": corrected})
    return 0


def _received(row: dict) -> str:
    from .ui import moment

    return moment(datetime.fromisoformat(row["received"])) if row["received"] else ""


def _remarks(row: dict) -> str:
    return " ".join(filter(None, [row["reason"], *row["warnings"]]))


def _whole(row: dict) -> str:
    lines = {
        "Series": f"{row['series']} ({row['series_uid']})",
        "Patient": f"{row['patient_name']} ({row['patient_id']})",
        "Study": " ".join(filter(None, [row["study_date"], row["description"]])),
        "State": f"{row['state']}, received {_received(row)}",
        "Drawn by": _drawn_by(row["organs"]),
        "Remarks": _remarks(row),
    }
    return "\n".join([*(f"{name:<9}{text}" for name, text in lines.items() if text), ""])


def _drawn_by(organs: list[dict]) -> str:
    """The model; of several, each with the organs that it drew."""
    drew: dict[str, list[str]] = {}
    for organ in organs:
        if organ.get("found") and organ.get("model"):
            drew.setdefault(organ["model"], []).append(organ["name"])
    if len(drew) < 2:
        return "".join(drew)
    return "; ".join(f"{model}: {', '.join(names)}" for model, names in drew.items())


def _fetch(args, ui, settings) -> int:
    from ..service.inbox import fetching
    from ..service.node.client import Node

    with Node(settings.node) as node:
        found = fetching.fetch(node, _series(node, args.series), args.out, ui.emit, args.cancel)
    ui.say(f"Wrote {found['ct']}" + (f" and {found['results']}." if found["results"] else ": there is no result."))
    ui.result(found)
    return 0


def _approve(args, ui, settings) -> int:
    from ..service.inbox import review
    from ..service.node.client import Node

    changed: list[str] = []

    def agree(changes: review.Changes) -> bool:
        changed.extend(changes.sentences)
        return _agreed(args, ui, changes)

    with Node(settings.node) as node:
        made = review.approve(
            node,
            settings,
            _series(node, args.series),
            args.reviewer,
            args.rtstruct,
            destinations=args.destination,
            job=args.job,
            ct_folder=args.ct,
            agree=agree,
            emit=ui.emit,
            cancel=args.cancel,
        )
    ui.say(f"Approved by {made.reviewer}: the worker sends it as {made.sop_instance_uid}.")
    ui.result({"review": asdict(made), "changes": changed})
    return 0


def _agreed(args, ui, changes) -> bool:
    """Tell the reviewer what would be changed, and ask back where somebody is there.
    Raises Cancelled if that is declined."""
    for sentence in changes.sentences:
        ui.emit(Event("warning", message=sentence))
    if args.yes or args.agreed == changes.digest:
        return True
    ui.emit(Event("changes", data={"sentences": changes.sentences, "digest": changes.digest}))
    answer = ui.ask("What is sent will differ so from what was reviewed. Approve all the same?")
    if answer is False:
        raise Cancelled("Not approved: nothing was sent.")
    return bool(answer)


def _reject(args, ui, settings) -> int:
    from ..service.inbox import review
    from ..service.node.client import Node

    with Node(settings.node) as node:
        made = review.reject(node, _series(node, args.series), args.reviewer, args.reason, job=args.job)
    ui.say(f"Rejected by {made.reviewer}: it will not be sent.")
    ui.result({"review": asdict(made)})
    return 0


def _connections(_args, ui, settings) -> int:
    from ..service.peers.lights import connections

    lights = connections(settings)
    ui.table(
        ("Connection", "Address", "Works", "Found"),
        [(li.name, li.address, "yes" if li.ok else "no", li.sentence) for li in lights],
    )
    ui.result({"lights": [asdict(light) for light in lights]})
    return 0 if all(light.ok for light in lights) else 1


def _series(node, named: str) -> str:
    from ..service.inbox.listing import series_named

    return series_named(node, named)


_ACTIONS = {"list": _list, "fetch": _fetch, "approve": _approve, "reject": _reject, "connections": _connections}
