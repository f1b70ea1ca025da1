"""hn-segmenter benchmark: how long each stage takes and how much memory, cold and warm, beside the thesis's way."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from .segment import add_runtime_options

STAGES = ("reading", "running", "checking", "writing", "done")
NEEDS = ("psutil", "scipy", "onnx")


def add_parser(sub) -> None:
    parser = sub.add_parser(
        "benchmark",
        help="measure time and memory on this computer",
        description="Segments the sample patient (planning size) in fresh processes, with the page cache emptied "
        "(cold, where the system allows it) and full (warm), and beside it "
        "the thesis's way: six networks in a row.",
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="warm runs, the median counts (default: 3)")
    parser.add_argument("--without-thesis", action="store_true", help="leave the thesis's way out (it takes minutes)")
    add_runtime_options(parser)


def run(args, ui) -> int:
    _require_packages()
    from ..events import Event
    from ..sample import write_dicom

    with tempfile.TemporaryDirectory(prefix="hn-segmenter-") as temporary:
        folder = Path(temporary)
        series = write_dicom(folder / "sample")
        steps = 1 + args.repeat + (not args.without_thesis)

        def step(number: int, words: str) -> None:
            args.cancel.raise_if_cancelled()
            ui.emit(Event("progress", words, number / steps))

        step(0, "cold run")
        cold, was_cold = _ours(args, series, folder / "cold", drop=True)
        warm = []
        for number in range(args.repeat):
            step(1 + number, "warm run")
            warm.append(_ours(args, series, folder / f"warm{number}")[0])
        warm.sort(key=lambda one: one.wall_s)
        step(steps - 1, "the thesis's way")
        runs = {"cold" if was_cold else "cold (cache not emptied)": cold, "warm": warm[len(warm) // 2]}
        thesis = None if args.without_thesis else _thesis(series, folder)
    where = cold.result["runtime"]["where"]
    _show(runs, where, ui)
    if thesis:
        _compare(runs, thesis, ui)
    ui.result({"where": where, "runs": {name: vars(one) for name, one in runs.items()}, "thesis_s": thesis})
    return 0


def _require_packages() -> None:
    from importlib.util import find_spec

    from ..errors import WrongUsage

    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise WrongUsage(f"The benchmark needs {', '.join(missing)}: run  pip install 'hn-segmenter[benchmark]'")


def _ours(args, series: Path, out: Path, drop: bool = False):
    from ..evaluation.time_and_memory import drop_caches, run_measured

    command = [sys.executable, "-m", "HNSegmenterLib", "segment", str(series), "-o", str(out), "--json"]
    for option in ("runtime", "image", "docker_host", "contract"):
        if value := getattr(args, option):
            command += [f"--{option.replace('_', '-')}", value]
    for choice in args.model or ():
        command += ["--model", choice]
    emptied = drop and drop_caches()
    return run_measured(command), emptied


def _thesis(series: Path, folder: Path) -> dict:
    """Seconds per stage from the start of its process; the CT is written as NIfTI first, which is not counted."""
    import SimpleITK as sitk

    from ..dicom import read_planning_ct
    from ..errors import HNSegmenterError, WrongUsage
    from ..models import network_folder

    image = folder / "ct.nii.gz"
    sitk.WriteImage(read_planning_ct(series).image, str(image))
    script = network_folder().parent / "tools" / "benchmarks" / "thesis_way.py"
    if not script.is_file():
        raise WrongUsage("The thesis's way is measured from the sources alone: add --without-thesis.")
    begin = time.perf_counter()
    run = subprocess.run(
        [sys.executable, str(script), str(image), str(folder)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if run.returncode:
        raise HNSegmenterError(f"The thesis's way could not be measured: {run.stderr.strip().splitlines()[-1]}")
    stages = json.loads(run.stdout)
    start = round(seconds - sum(stages.values()), 2)
    return {"start": start, **stages, "total": round(seconds, 2)}


def _show(runs: dict, where: str, ui) -> None:
    rows = []
    for name, one in runs.items():
        marks = [one.marks.get(stage, one.wall_s) for stage in STAGES] + [one.wall_s]
        spans = [round(later - earlier, 2) for earlier, later in pairwise(marks)]
        megabytes = round(one.peak / 1e6)
        rows.append((name, round(marks[0], 2), *spans, round(marks[2], 2), round(one.wall_s, 2), megabytes))
    columns = ("Run", "start", "read", "net", "check", "write", "end", "to maps", "all", "MB")
    size = " x ".join(map(str, next(iter(runs.values())).result["input"]["size"]))
    ui.table(columns, rows, title=f"Seconds, sample patient {size}, network: {where}")
    ui.say("to maps: from the start of the program (the click) to the labelmaps, the sum of start, read and net")
    for name, one in runs.items():
        stages = ", ".join(f"{stage} {seconds}" for stage, seconds in one.result["timings_s"].items() if stage != "job")
        ui.say(f"{name}: of it in the network's process: {stages}")
        container = f", of the container {one.peak_containers / 1e6:.0f} MB" if one.peak_containers else ""
        ui.say(f"{name}: memory of the processes {one.peak_processes / 1e6:.0f} MB{container}")


def _compare(runs: dict, thesis: dict, ui) -> None:
    ui.table(tuple(thesis), [tuple(thesis.values())], title="The thesis's way (six two-class networks), seconds")
    for name, one in runs.items():
        ratio = thesis["total"] / one.marks["checking"]
        ui.say(f"{name}: {ratio:.1f} times as fast as the thesis's way, from the DICOM folder to the labelmaps.")
