"""hn-segmenter node: the DICOM node (Orthanc) as the service needs it, and what its approvals teach."""

from __future__ import annotations

from pathlib import Path

from . import data


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "node",
        help="configure the DICOM node (Orthanc); training data and a report from its approvals",
        description="Orthanc as the service needs it: open for the systems that service.toml names, shut for the rest. "
        "What was approved on it, as training data, and how much was corrected, as a page.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    configure = actions.add_parser("configure", help="write Orthanc's configuration from service.toml")
    configure.add_argument("--config", type=Path, required=True, metavar="FILE", help="service.toml")
    configure.add_argument(
        "--out",
        type=Path,
        default=Path("orthanc.json"),
        metavar="FILE",
        help="default: %(default)s; holds the password",
    )
    configure.add_argument(
        "--storage",
        type=Path,
        metavar="DIR",
        help="where Orthanc keeps its files (default: node in the worker's folder)",
    )
    configure.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
    configure.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")
    data.add_actions(actions)


def run(args, ui) -> int:
    return {"configure": _configure, "collect": data.collect, "report": data.report}[args.action](args, ui)


def _configure(args, ui) -> int:
    from ...service.node import orthanc_config
    from ...service.settings import load

    settings = load(args.config)
    files = orthanc_config.write(settings, args.out, args.storage)
    peers = orthanc_config.peers(settings)
    remote = orthanc_config.is_remote(settings)
    if remote and settings.https is None:
        _warn(
            ui, "Other machines reach the node by HTTP: password and patients go over the network in clear. Use https."
        )
    if not settings.scanners:
        _warn(ui, "No scanner may send to the node: name one in [scanners.NAME].")
    rows = [(peer.ae_title, peer.address, ", ".join(sorted(peer.may)).lower()) for peer in peers]
    ui.table(
        ("AE title", "Address", "May"),
        rows,
        title=f"Who may connect to {settings.node.ae_title}, port {settings.node.dicom_port}",
    )
    for file in files:
        ui.say(f"Wrote {file}")
    ui.say("Only you can read it: the node's password is in it. It takes effect when Orthanc starts anew.")
    ui.result(
        {
            "files": [str(file) for file in files],
            "remote": remote,
            "peers": [{"ae_title": p.ae_title, "address": p.address, "may": sorted(p.may)} for p in peers],
        }
    )
    return 0


def _warn(ui, sentence: str) -> None:
    from ...events import Event

    ui.emit(Event("warning", None, None, sentence))
