"""The network on this computer: the container's own predict.py in a subprocess."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections import deque
from importlib.util import find_spec
from pathlib import Path

from ..errors import Cancelled, RuntimeFault, UnusableInput
from ..events import CancelToken, Emit, Event
from ..models import network_folder
from .base import JobFolder

PACKAGES = {"nibabel": "nibabel", "openvino": "openvino", "cc3d": "connected-components-3d"}
UNUSABLE = 2


def missing_packages() -> list[str]:
    """Names, as pip knows them, of the packages that the network needs and this Python lacks."""
    return [name for module, name in PACKAGES.items() if find_spec(module) is None]


class LocalRuntime:
    """Runs predict.py with this Python; killed with its job."""

    name = "local"

    def __init__(self, model: Path | None = None, threads: int | None = None, why: str = "it was asked for"):
        self._folder = network_folder()
        self._options = [*(["--model", str(model)] if model else []), *(["--threads", str(threads)] if threads else [])]
        self._why = why
        if missing := missing_packages():
            raise RuntimeFault(
                f"The network cannot run on this computer without {', '.join(missing)}: "
                f"run  {Path(sys.executable).name} -m pip install {' '.join(missing)}"
            )

    def describe(self) -> str:
        return f"The network runs on this computer: {self._why}."

    def run(self, job: JobFolder, emit: Emit, cancel: CancelToken) -> Path:
        command = [sys.executable, str(self._folder / "predict.py"), "--path", str(job.image)]
        command += ["--output", str(job.results), *self._options]
        # Its temporary files, if any, belong into the job folder, which is removed with the job.
        environment = {**os.environ, "TMPDIR": str(job.path), "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        try:
            error = _follow(process, emit, cancel)
        finally:
            _stop(process)
        _raise_for(process.returncode, error)
        return job.results


def _follow(process: subprocess.Popen, emit: Emit, cancel: CancelToken) -> str | None:
    """Pass the process's events on until it ends; returns its error sentence, else its last words on stderr."""
    lines: queue.Queue[str | None] = queue.Queue()
    out, errors = process.stdout, process.stderr
    assert out is not None and errors is not None  # run() made pipes of them

    def read_events():
        for line in out:
            lines.put(line)
        lines.put(None)

    last_words: deque[str] = deque(maxlen=1)
    listener = threading.Thread(target=lambda: last_words.extend(errors), daemon=True)
    listener.start()
    threading.Thread(target=read_events, daemon=True).start()
    error = None
    while True:
        if cancel.cancelled:
            raise Cancelled
        try:
            line = lines.get(timeout=0.05)
        except queue.Empty:
            continue
        if line is None:
            process.wait()
            listener.join(timeout=1)
            return error or (last_words[0].strip()[:300] if last_words else None)
        event = parse_event(line)
        if event is None:
            continue
        if event.kind == "error":
            error = event.message
        elif event.kind in ("progress", "warning"):
            emit(event)


def parse_event(line: str) -> Event | None:
    """One line of the container's stdout; None if it is no event (a library that prints, say)."""
    try:
        values = json.loads(line)
        return Event(values["event"], values.get("stage"), values.get("fraction"), values.get("message"))
    except (ValueError, KeyError, TypeError):
        return None


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _raise_for(code: int, error: str | None) -> None:
    if code == 0:
        return
    if code == UNUSABLE:
        raise UnusableInput(error or "The network refused the CT and did not say why.")
    if code in (-9, 137):
        raise RuntimeFault(
            "The network was killed by the system, most likely for want of memory: "
            "close other programs (about 1.5 GB must be free) and try again."
        )
    said = f": {error}" if error else "."
    raise RuntimeFault(
        f"The network stopped unexpectedly (code {code}){said} Run  hn-segmenter doctor  for what may be amiss."
    )
