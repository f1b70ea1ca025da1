"""What the container says: events on stdout, the human log on stderr, result.json."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from .model import Organ

# Share of the whole run that is done when a stage begins, by the model's method (512 x 512 x 130, two cores).
STAGE_START = {
    "hn-network": {"read": 0.0, "preprocess": 0.15, "network": 0.3, "postprocess": 0.8, "write": 0.85},
    "nnunet": {"read": 0.0, "preprocess": 0.02, "network": 0.04, "postprocess": 0.96, "write": 0.97},
}


def _event(**fields) -> None:
    print(json.dumps(fields, ensure_ascii=True), flush=True)


def progress(stage: str, share: float = 0.0, method: str = "hn-network") -> None:
    """Report that `share` (0..1) of a stage is done; the event's fraction is of the whole run."""
    starts = STAGE_START[method]
    begin, end = ([*starts.values(), 1.0][list(starts).index(stage) + step] for step in (0, 1))
    _event(event="progress", stage=stage, fraction=round(begin + share * (end - begin), 3))


def warning(message: str) -> None:
    _event(event="warning", message=message)
    log(f"warning: {message}")


def error(message: str) -> None:
    _event(event="error", message=message)
    log(f"error: {message}")


def done(result: str) -> None:
    _event(event="done", result=result)


def log(message: str) -> None:
    """For people; never names a file, since names may tell who the patient is."""
    print(message, file=sys.stderr, flush=True)


class Clock:
    """Seconds of every stage; starting one reports the progress. method: the model's, once it is known."""

    def __init__(self) -> None:
        self.method = "hn-network"
        self.begin = self.last = time.perf_counter()
        self.seconds: dict[str, float] = {}
        self.stage = ""

    def start(self, stage: str) -> None:
        self._end_stage()
        self.stage = stage
        self.progress(0.0)

    def progress(self, share: float) -> None:
        """So much (0..1) of the stage is done."""
        progress(self.stage, share, self.method)

    def result(self) -> dict[str, float]:
        self._end_stage()
        return {**self.seconds, "total": round(self.last - self.begin, 3)}

    def _end_stage(self) -> None:
        now = time.perf_counter()
        if self.stage:
            self.seconds[self.stage] = round(now - self.last, 3)
        self.last = now


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, then rename: no reader ever sees half a file, and a failed write leaves nothing."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_result(path: Path, result: dict) -> None:
    write_atomically(path, (json.dumps(result, indent=2, ensure_ascii=False) + "\n").encode())


def organ_entry(organ: Organ, file: str | None, status: str, voxels: int, volume_ml: float) -> dict:
    """An organ in result.json. status: "found", "not found" or "not in this model" (then there is no file)."""
    return {
        "name": organ.name,
        "file": file,
        "label": organ.label,
        "color": organ.color,
        "code": organ.code,
        "laterality": organ.laterality,
        "status": status,
        "voxels": voxels,
        "volume_ml": round(volume_ml, 3),
    }
