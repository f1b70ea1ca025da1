"""How fast `hn-segmenter batch` is, in how much memory, and whether it survives being killed.

    python -m tools.measure_batch make ROOT [--data DATA] [--patients N] [--broken]
    python -m tools.measure_batch speed ROOT [--jobs 1 2] [--redis URL]
    python -m tools.measure_batch kill ROOT [--seed N]

`make` writes patients as DICOM series of made-up identity into nested folders among junk: DATA/<patient>/data.nii.gz,
or without DATA copies of the sample patient; with --broken three more that must fail. `speed` contours them in a loop
of `segment`, then with `batch` in so many processes, and by two workers with a Redis, and prints a table. `kill` ends a
batch with SIGKILL at a random moment, starts it again, and compares. Other options go to segment and batch as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from HNSegmenterLib.batch.results import PARTS
from HNSegmenterLib.errors import HNSegmenterError
from HNSegmenterLib.evaluation.time_and_memory import Measured, run_measured
from HNSegmenterLib.sample import sample_volume
from HNSegmenterLib.sample.series import MadeUp, write_series

PROGRAM = [sys.executable, "-m", "HNSegmenterLib"]
LONGEST_S = 7200.0


@dataclass(frozen=True)
class Line:
    """peak: highest memory of all processes together, in bytes; of several workers the sum of each one's."""

    how: str
    patients: int
    seconds: float
    peak: int

    def __str__(self) -> str:
        per_hour = 3600 * self.patients / self.seconds
        return f"| {self.how} | {self.patients} | {self.seconds:.1f} | {per_hour:.0f} | {self.peak / 1e6:.0f} |"


def make(root: Path, data: Path | None, patients: int | None, broken: bool) -> None:
    """Patients two to four folders deep, three to a clinic, with files beside them that are no CT."""
    sources = sorted(data.glob("*/data.nii.gz")) if data else [None] * (patients or 8)
    for number, source in enumerate(sources[:patients]):
        ct = sitk.ReadImage(str(source)) if source else sample_volume(number)[0]
        folder = root / f"clinic{number % 3}" / f"case {number:03d}" / ("study/ct" if number % 2 else "CT")
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_series(sitk.Cast(ct, sitk.sitkInt16), folder, _made_up(str(number)))
        (folder.parent / "notes.txt").write_text("junk")
        (folder.parent / "report.dcm").write_bytes(b"%PDF junk")
    if broken:
        _write_broken(root / "broken")


def _write_broken(folder: Path) -> None:
    """A slice missing, a slice cut off, and a body of air."""
    ct = sample_volume(0)[0]
    for name in ("gap", "cut", "air"):
        image = ct if name != "air" else ct * 0 - 1000
        files = sorted(write_series(image, folder / name, _made_up(name)).iterdir())
        if name == "gap":
            files[40].unlink()
        elif name == "cut":
            files[40].write_bytes(files[40].read_bytes()[:-1000])


def _made_up(key: str) -> MadeUp:
    text = "Measuring the batch, no real person"
    return MadeUp(f"TEST^Batch{key}", f"HNSEG-BATCH-{key}", text, text, text, f"HN Segmenter measured batch {key}")


def speed(root: Path, jobs: list[int], redis: str | None, options: list[str]) -> None:
    print(
        "| how | patients | seconds | patients an hour | memory, MB |\n| --- | ---: | ---: | ---: | ---: |", flush=True
    )
    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as temporary:
        folder = Path(temporary)
        series = sorted({path.parent for path in root.rglob("*.dcm") if path.name.startswith("CT")})
        print(_loop(series, folder / "loop", options), flush=True)
        for count in jobs:
            command = [*PROGRAM, "batch", str(root), "-o", str(folder / f"{count}"), "--json", "--jobs", str(count)]
            got = run_measured([*command, *options])
            print(Line(f"batch, {count} at a time", len(got.result["done"]), got.wall_s, got.peak), flush=True)
        if redis:
            print(_two_workers(root, folder / "redis", redis, options), flush=True)


def _loop(series: list[Path], out: Path, options: list[str]) -> Line:
    runs = [
        run_measured([*PROGRAM, "segment", str(one), "-o", str(out / str(number)), "--json", *options])
        for number, one in enumerate(series)
    ]
    return Line("a loop of segment", len(runs), sum(run.wall_s for run in runs), max(run.peak for run in runs))


def _two_workers(root: Path, out: Path, redis: str, options: list[str]) -> Line:
    """As two machines would, each with one process; here they share the cores."""
    command = [*PROGRAM, "batch", str(root), "-o", str(out), "--json", "--jobs", "1", "--redis", redis, *options]
    got: list[Measured] = []
    threads = [threading.Thread(target=lambda: got.append(run_measured(command))) for _ in range(2)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(got) < 2:
        raise HNSegmenterError("A worker failed: see above.")
    seconds = time.perf_counter() - begin
    return Line("two workers, Redis", len(got[0].result["done"]), seconds, sum(one.peak for one in got))


def kill(root: Path, seed: int | None, options: list[str]) -> bool:
    """Whether all went well, after it was said."""
    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as temporary:
        out = Path(temporary) / "out"
        command = [*PROGRAM, "batch", str(root), "-o", str(out), "--json", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        after = _some_are_done(process, random.Random(seed))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = _whole(out)
        begin = time.perf_counter()
        again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
        seconds = time.perf_counter() - begin
        result, now = json.loads(again.stdout.splitlines()[-1]), _whole(out)
        kept = sum(now.get(name) == made for name, made in before.items())
        hidden = [path.name for path in out.iterdir() if path.name.startswith(".") and path.name != ".batch"]
        print(
            f"Killed after {after}, with {len(before)} done; of these {kept} stayed as they were. Started again: "
            f"{len(result['done'])} done ({len(now)} whole folders), {len(result['failed'])} failed, "
            f"{len(hidden)} hidden remains, exit code {again.returncode}, {seconds:.0f} s."
        )
        for failed in result["failed"]:
            print(f"  {failed['folder']}: {failed['reason']}")
        return kept == len(before) and len(now) == len(result["done"]) and not hidden


def _some_are_done(process: subprocess.Popen, choice: random.Random) -> str:
    """Wait until a random share is done, and a random while more."""
    share, more = choice.uniform(0.1, 0.8), choice.uniform(0.0, 5.0)
    assert process.stdout is not None  # a pipe
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["stage"] == "contouring" and event["fraction"] >= share:
            time.sleep(more)
            return f"{share:.0%} and {more:.1f} s"
    raise HNSegmenterError("The batch ended before it could be killed: give it more patients.")


def _whole(out: Path) -> dict[str, tuple[int, int]]:
    """Folders of results, checked: name -> what changes if one is made anew. Raises HNSegmenterError for a part."""
    found = {}
    for folder in (path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if missing := [part for part in PARTS if not (folder / part).exists()]:
            raise HNSegmenterError(f"{folder.name} lacks {', '.join(missing)}: it is half there.")
        about = (folder / "result.json").stat()
        found[folder.name] = (about.st_ino, about.st_mtime_ns)
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.measure_batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("make", "speed", "kill"))
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder of patients' folders with data.nii.gz")
    parser.add_argument("--patients", type=int, metavar="N", help="so many (default: all, or 8 copies)")
    parser.add_argument("--broken", action="store_true", help="three more that must fail")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], metavar="N", help="for speed (default: 1 2)")
    parser.add_argument("--redis", metavar="URL", help="for speed: a Redis for two workers")
    parser.add_argument("--seed", type=int, metavar="N", help="of the moment to kill (default: another each time)")
    args, options = parser.parse_known_args(argv)
    try:
        if args.action == "make":
            make(args.root, args.data, args.patients, args.broken)
        elif args.action == "speed":
            speed(args.root, args.jobs, args.redis, options)
        elif not kill(args.root, args.seed, options):
            return 1
    except HNSegmenterError as fault:
        print(fault.sentence, file=sys.stderr)
        return fault.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
