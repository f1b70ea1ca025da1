"""Folders of made-up patients, and `hn-segmenter batch` as a process of its own."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pydicom

from HNSegmenterLib.batch.results import PARTS
from Testing.phantoms import edit, head_phantom, write_ct_series
from Testing.service.serving import QUICK_MODEL, write_head

SOUND = 5


def write_root(root: Path, sound: int = SOUND) -> Path:
    """Heads in nested folders among junk, and three that must fail: a slice missing, one cut short, air alone."""
    for number in range(sound):
        write_head(root / f"clinic{number % 2}" / f"PATH88TOKEN{number}" / "study" / "ct", number)
    junk = root / "clinic0" / "junk"
    write_ct_series(junk / "scout", head_phantom()[:3])
    write_ct_series(junk / "mr", head_phantom(), tags={"Modality": "MR"})
    (junk / "notes.txt").write_text("PATH88TOKEN")
    (junk / "empty.dcm").touch()
    (junk / "._CT0001.dcm").write_bytes(b"\0" * 200)
    broken = root / "broken"
    write_head(broken / "gap", 91)[20].unlink()
    short = write_head(broken / "short", 92)[21]
    short.write_bytes(short.read_bytes()[:-100])
    air = write_ct_series(broken / "air", head_phantom() * 0 - 1000)
    edit(air[0], SeriesDescription="DESCR66TOKEN")
    return root


class Batch:
    """A running batch. Its output is JSON lines, in `events` as far as they were waited for."""

    def __init__(self, root: Path, out: Path, *options: object, **environment: str):
        command = [sys.executable, "-m", "HNSegmenterLib", "batch", str(root), "-o", str(out), "--json"]
        command += ["--runtime", "local"]  # other tests make images of the very model while this one runs
        model = [] if "--model" in options else ["--model", str(QUICK_MODEL)]
        command += [*model, *map(str, options)]
        self.out = out
        self.events: list[dict] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            start_new_session=True,
        )

    def until(self, condition: Callable[[dict], bool]) -> dict:
        """Read on until an event fits, which is returned."""
        for line in self.process.stdout:
            self.events.append(json.loads(line))
            if condition(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"it never came: {self.events} {self.process.communicate()[1]}")

    def end(self) -> tuple[int, dict]:
        """Exit code, and what it said last."""
        out, self.errors = self.process.communicate(timeout=300)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.process.returncode, self.events[-1]

    def kill(self) -> None:
        """The process alone, as kill -9 does: its children have to notice."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def interrupt(self) -> None:
        """Ctrl-C: the terminal tells all of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def children(self) -> list[int]:
        """Processes of its group, without itself."""
        everybody = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [pid for pid in everybody if pid != self.process.pid and _group(pid) == self.process.pid]


def one_is_done(event: dict) -> bool:
    return event["event"] == "patient" and event["data"]["state"] == "done"


def run(root: Path, out: Path, *options: object, **environment: str) -> tuple[int, dict]:
    return Batch(root, out, *options, **environment).end()


def folders(out: Path) -> dict[str, tuple[int, int]]:
    """Every folder of results, checked to be whole: name -> what changes if it is made anew."""
    found = {}
    for folder in out.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            assert sorted(path.name for path in folder.iterdir()) == sorted(PARTS)
            assert pydicom.dcmread(folder / "rtstruct.dcm").ROIContourSequence
            assert json.loads((folder / "result.json").read_text())["input"]["batch"]["sop_digest"]
            about = (folder / "result.json").stat()
            found[folder.name] = (about.st_ino, about.st_mtime_ns)
    return found


def remains(out: Path) -> list[str]:
    """Hidden things in OUT, without its name."""
    return [path.name for path in out.iterdir() if path.name.startswith(".") and path.name != ".batch"]


def lines(out: Path) -> list[dict]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def states(out: Path) -> dict[str, int]:
    """Of the series in results.csv."""
    by_series = {line["series_instance_uid"]: line["state"] for line in lines(out)}
    return {state: list(by_series.values()).count(state) for state in set(by_series.values())}


def wait_until_gone(pids: list[int], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while alive := [pid for pid in pids if _group(pid) is not None]:
        assert time.monotonic() < end, f"{len(alive)} processes have outlived the batch"
        time.sleep(0.05)


def _group(pid: int) -> int | None:
    """Of a process that runs."""
    try:
        state, _, group, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(group)
