"""The command line of predict.py: every end is a sentence and an exit code."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import traceback
from pathlib import Path
from typing import NoReturn

from . import contract
from .errors import Failure, Stopped, WrongUsage
from .model import PACKAGED

STOPPED = "The run was stopped from outside; it left no results."
MOST_THREADS = 8  # more gain nothing on one head


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:  # argparse's own exit code, 2, means unusable input here
        raise WrongUsage(f"{message}. {self.format_usage().strip()}")


def main(arguments: list[str] | None = None) -> int:
    """Run predict.py; returns its exit code: 0 done, 2 unusable input, 64 wrong usage, 143 stopped, 1 fault."""
    asked_to_stop = _stop_on_signals()
    try:
        return _run(arguments)
    except Exception as failure:  # noqa: BLE001 - every fault becomes a sentence and an exit code
        # Raised inside a library, Stopped may come out as anything: what counts is that a stop was asked for.
        return _report(Stopped(STOPPED) if asked_to_stop else failure)


def _run(arguments: list[str] | None) -> int:
    options = _options(arguments)
    output = _writable(options.output)
    clock = contract.Clock()
    clock.start("read")
    from .pipeline import run  # loads the heavy libraries

    run(options.path, output, options.model, options.threads, clock)
    return 0


def _report(failure: Exception) -> int:
    """The error event of a failure; its exit code."""
    if isinstance(failure, Failure):
        contract.error(str(failure))
        return failure.exit_code
    if isinstance(failure, MemoryError):
        contract.error(
            "There is not enough memory for this CT: give the program at least 1.5 GB, and for an nnU-Net 6 GB."
        )
    elif isinstance(failure, OSError):
        contract.error(_system_sentence(failure))
    else:  # a defect of ours: where, but not on which data
        place = traceback.extract_tb(failure.__traceback__)[-1]
        where = f"{type(failure).__name__} in {Path(place.filename).name}, line {place.lineno}"
        contract.error(f"The program failed inside ({where}): report this together with the model and version.")
    return 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = _Parser(
        prog="predict.py", description="Segments one head-and-neck CT. Research software, not a medical device."
    )
    parser.add_argument("--path", type=Path, required=True, help="the CT in HU, .nii or .nii.gz")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(os.environ.get("HNSEG_RESULTS", "/results")),
        help="folder for labelmaps and result.json (default: $HNSEG_RESULTS, else /results)",
    )
    parser.add_argument("--model", type=Path, default=PACKAGED, help="model folder (default: the packaged one)")
    parser.add_argument(
        "--threads",
        type=int,
        default=available_threads(),
        help="threads (default: the CPUs it may use, at most $HNSEG_THREADS)",
    )
    options = parser.parse_args(arguments)
    if options.threads < 1:
        raise WrongUsage("--threads must be at least 1.")
    return options


def available_threads() -> int:
    """CPUs that this process may use: affinity, the container's quota (cgroup v2 and v1), and HNSEG_THREADS, by which
    those who run several networks at a time share them out."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shared = os.environ.get("HNSEG_THREADS", "")
    return max(1, min(affinity, _quota(), int(shared) if shared.isdecimal() else MOST_THREADS, MOST_THREADS))


def _quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return max(1, round(int(quota) / int(period))) if int(quota) > 0 else MOST_THREADS
    except (OSError, ValueError):
        return MOST_THREADS


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongUsage("The output folder can't be made: choose another with --output.") from error
    if not os.access(folder, os.W_OK):
        raise WrongUsage("The output folder can't be written to: choose another with --output.")
    return folder


def _system_sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full: make room for the labelmaps and run again."
    return (
        f"The system refused to read or write a file ({errno.errorcode.get(error.errno or 0, type(error).__name__)})."
    )


def _stop_on_signals() -> list[int]:
    """From now on SIGTERM and SIGINT raise Stopped; the list gets their numbers."""
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        raise Stopped(STOPPED)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return received
