"""Entry of the command line: parse, run one command, turn every failure into a sentence and an exit code.

Exit codes: 0 done, 1 fault, 2 unusable input, 64 wrong usage, 130 cancelled.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module

from .. import __version__
from ..errors import Cancelled, HNSegmenterError, WrongUsage
from ..events import CancelToken
from ..silent_libraries import silence_process
from .ui import open_ui

COMMANDS = (
    "segment", "batch", "evaluate", "model", "image", "demo", "benchmark", "doctor", "node", "serve", "queue", "inbox",
)  # fmt: skip
FAULT = 1
SERVICE_PACKAGES = ("httpx", "huey", "pynetdicom", "pyorthanc")  # the extra `service` of pyproject.toml


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str):
        raise WrongUsage(f"{message[:1].upper()}{message[1:]}. Try  {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="hn-segmenter",
        description="Organs at risk of the head and neck from a planning CT. Research software, not a medical device: "
        "a clinician must review every contour.",
    )
    parser.add_argument("--version", action="version", version=f"hn-segmenter {__version__}")
    sub = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        import_module(f".{name}", __package__).add_parser(sub)
    for command in set(sub.choices.values()):
        command.add_argument("--json", action="store_true", help="JSON lines on stdout, for scripts")
        command.add_argument("--debug", action="store_true", help="show where an unforeseen fault arose")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code and never raises."""
    argv = sys.argv[1:] if argv is None else argv
    ui = open_ui("--json" in argv)
    try:
        args = build_parser().parse_args(argv)
        args.cancel = _cancel_token(listen="--json" in argv)
        with ui:
            return _run(args, ui)
    except SystemExit as stop:  # --help and --version
        return int(stop.code or 0)
    except HNSegmenterError as fault:
        ui.error(fault.sentence, fault.exit_code)
        return fault.exit_code
    except KeyboardInterrupt:
        ui.error(Cancelled().sentence, Cancelled.exit_code)
        return Cancelled.exit_code
    except Exception as error:  # noqa: BLE001 - a bug: say so plainly; what it held may be a patient's: no details unasked
        if "--debug" in argv:
            traceback.print_exc()
        ui.error(f"An unforeseen fault ({type(error).__name__}). Run again with --debug and report it.", FAULT)
        return FAULT


def _run(args: argparse.Namespace, ui) -> int:
    try:
        return import_module(f".{args.command}", __package__).run(args, ui)
    except ModuleNotFoundError as missing:
        if missing.name not in SERVICE_PACKAGES:
            raise
        who = "A batch" if args.command == "batch" else "The DICOM service"
        raise WrongUsage(
            f"{who} needs the package {missing.name}: run  pip install 'hn-segmenter[service]'"
        ) from missing


def _cancel_token(listen: bool) -> CancelToken:
    """Cancelled by Ctrl-C, by SIGTERM, and with --json by a line "cancel" on standard input."""
    token = CancelToken()

    def stop(*_):
        if token.cancelled:  # the second Ctrl-C does not wait
            raise KeyboardInterrupt
        token.cancel()

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        if hasattr(signal, "SIGHUP"):  # the terminal was closed
            signal.signal(signal.SIGHUP, stop)
    if listen and sys.stdin is not None and not sys.stdin.closed and not sys.stdin.isatty():
        threading.Thread(target=_listen, args=(token,), daemon=True).start()
    return token


def _listen(token: CancelToken) -> None:
    """Works on pipes of every system. The end of the input is no cancel: the parent may quit and let us finish."""
    try:
        for line in sys.stdin:
            if line.strip() == "cancel":
                token.cancel()
    except (OSError, ValueError):
        pass


def entry() -> None:
    """Console script. Leaves without waiting for the thread that listens on standard input."""
    silence_process()
    code = main()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    entry()
