"""predict.py with an imported nnU-Net against nnunetv2's own predictor: the same organs, and how long each takes.

    .venv-training/bin/python -m tools.benchmarks.compare_nnunet RESULT_FOLDER MODEL CT.nii.gz --vary --threads 2

RESULT_FOLDER is what nnU-Net trained (`nnUNetTrainer__nnUNetPlans__3d_fullres`), MODEL what `import-nnunet` made of it.
With --vary each CT is also tried on other grids: 512 x 512, thick slices, turned, with an odd spacing. Both get one
file, along the axes of the training images, and as many threads; mirroring is as in model.json, or on (--mirroring).
Of nnunetv2 only its prediction counts, reading to writing, without loading PyTorch and weights; of predict.py all.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

PREDICT = Path(__file__).resolve().parents[2] / "docker" / "predict.py"
LEAST_ML = 1.0  # organs above it are to agree
LEAST_DICE = 0.995
AIR_HU = -1000.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, metavar="RESULT_FOLDER")
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("cts", type=Path, nargs="+", metavar="CT")
    parser.add_argument("--vary", action="store_true", help="each CT on other grids too")
    parser.add_argument("--mirroring", action="store_true", help="with mirroring, whatever model.json says")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--theirs", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:
        predict_with_nnunetv2(options)
        return 0
    worst = 1.0
    with tempfile.TemporaryDirectory() as temporary:
        model = with_mirroring(options.model, Path(temporary) / "model") if options.mirroring else options.model
        axes = json.loads((model / "model.json").read_text())["preprocessing"]["axes"]
        print("| CT | organ | ml | Dice | voxels that differ |\n| --- | --- | --- | --- | --- |")
        times = []
        for name, ct in grids(options.cts, axes, options.vary):
            folder = Path(temporary) / name.replace(" ", "-")
            folder.mkdir()
            sitk.WriteImage(ct, folder / "ct.nii.gz")
            theirs = run_theirs(options, model, folder)
            ours = run_ours(options, model, folder)
            times.append((name, theirs, ours))
            worst = min(worst, *compare(name, ct, model, folder))
    print("\n| CT | nnunetv2: s (CPU s) | predict.py: s (CPU s) | ratio of CPU s |\n| --- | --- | --- | --- |")
    for name, (wall, cpu), (own_wall, own_cpu) in times:
        print(f"| {name} | {wall:.1f} ({cpu:.1f}) | {own_wall:.1f} ({own_cpu:.1f}) | {own_cpu / cpu:.2f} |")
    print(f"\nThe lowest Dice of an organ above {LEAST_ML:g} ml is {worst:.5f}.")
    return int(worst < LEAST_DICE)


def grids(paths: list[Path], axes: str, vary: bool) -> Iterator[tuple[str, sitk.Image]]:
    for number, path in enumerate(paths, start=1):
        ct = sitk.DICOMOrient(sitk.ReadImage(path), axes)
        yield f"CT {number}", ct
        if not vary:
            continue
        x, y, z = (n * mm for n, mm in zip(ct.GetSize(), ct.GetSpacing()))
        yield f"CT {number} 512x512", on_grid(ct, (512, 512, ct.GetSize()[2]), (x / 512, y / 512, ct.GetSpacing()[2]))
        yield f"CT {number} thick slices", on_grid(ct, (int(x / 1.1), int(y / 1.1), int(z / 5)), (1.1, 1.1, 5.0))
        size, spacing = (int(x / 1.953125), int(y / 1.953125), int(z / 2.79999)), (1.953125, 1.953125, 2.79999)
        yield f"CT {number} odd spacing", on_grid(ct, size, spacing)
        yield f"CT {number} turned", on_grid(ct, (200, 200, int(z / 3)), (x / 200, y / 200, 3.0), degrees=12.0)


def on_grid(ct: sitk.Image, size: tuple, spacing: tuple, degrees: float = 0.0) -> sitk.Image:
    """The CT on another grid around the same middle, turned about the patient's left-right axis, air around it."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(np.radians(degrees), 0.0, 0.0)
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(ct.GetDirection()).reshape(3, 3)
    middle = np.array(ct.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in ct.GetSize()]))
    origin = middle - direction @ (np.array(spacing) * (np.array(size) - 1) / 2)
    grid = sitk.Image(size, sitk.sitkInt16)
    grid.SetSpacing(spacing)
    grid.SetOrigin(origin)
    grid.SetDirection(direction.ravel())
    return sitk.Resample(sitk.Cast(ct, sitk.sitkInt16), grid, sitk.Transform(), sitk.sitkLinear, AIR_HU)


def with_mirroring(model: Path, folder: Path) -> Path:
    """A copy of the model folder that mirrors."""
    import hashlib
    import shutil

    shutil.copytree(model, folder)
    about = json.loads((folder / "model.json").read_text())
    about["preprocessing"]["mirroring"] = True
    (folder / "model.json").write_text(json.dumps(about))
    names = ("model.json", "network.onnx", "organs.json")
    sums = (f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(sums))
    return folder


def run_ours(options: argparse.Namespace, model: Path, folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds."""
    command = [sys.executable, str(PREDICT), "--path", str(folder / "ct.nii.gz"), "--output", str(folder / "ours"),
               "--model", str(model), "--threads", str(options.threads)]  # fmt: skip
    begin, cpu = time.perf_counter(), _children()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"predict.py ended with {done.returncode}: {done.stdout.splitlines()[-1]}")
    return time.perf_counter() - begin, _children() - cpu


def run_theirs(options: argparse.Namespace, model: Path, folder: Path) -> tuple[float, float]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tools.benchmarks.compare_nnunet",
        str(options.results),
        str(model),
        str(folder / "ct.nii.gz"),
        "--threads",
        str(options.threads),
        "--theirs",
        str(folder / "theirs"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu = json.loads(done.stdout.splitlines()[-1])
    return wall, cpu


def predict_with_nnunetv2(options: argparse.Namespace) -> None:
    """In a process of its own; the last line says wall and CPU seconds."""
    for kind in ("raw", "preprocessed", "results"):
        os.environ.setdefault(f"nnUNet_{kind}", "/nonexistent")
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112 - nnU-Net spells it so
    os.environ["nnUNet_def_n_proc"] = str(options.threads)  # noqa: SIM112
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    about = json.loads((options.model / "model.json").read_text())
    torch.set_num_threads(options.threads)
    with contextlib.redirect_stdout(io.StringIO()):
        predictor = nnUNetPredictor(
            tile_step_size=about["preprocessing"]["step"], use_mirroring=about["preprocessing"]["mirroring"],
            device=torch.device("cpu"), allow_tqdm=False,
        )  # fmt: skip
        trained = about["trained"]
        predictor.initialize_from_trained_model_folder(
            str(options.results), tuple(trained["folds"]), trained["checkpoint"]
        )
        begin, cpu = time.perf_counter(), time.process_time()
        predictor.predict_from_files_sequential(
            [[str(options.cts[0])]], [str(options.theirs)], save_probabilities=about["output"] == "regions"
        )
    print(json.dumps([time.perf_counter() - begin, time.process_time() - cpu]))


def compare(name: str, ct: sitk.Image, model: Path, folder: Path) -> list[float]:
    """Print every organ's line; Dice of those above LEAST_ML."""
    regions = json.loads((model / "model.json").read_text())["output"] == "regions"
    organs = json.loads((model / "organs.json").read_text())["organs"]
    if regions:
        theirs = np.load(folder / "theirs.npz")["probabilities"]
    else:
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(folder / "theirs.nii.gz"))
    scores = []
    for organ in organs:
        if organ["channel"] is None:
            continue
        expected = theirs[organ["channel"]] > 0.5 if regions else theirs == organ["channel"]
        found = sitk.GetArrayFromImage(sitk.ReadImage(folder / "ours" / f"{organ['name']}.nii.gz")) > 0
        both = np.count_nonzero(found) + np.count_nonzero(expected)
        dice = 2 * np.count_nonzero(found & expected) / both if both else 1.0
        ml = np.count_nonzero(expected) * float(np.prod(ct.GetSpacing())) / 1000
        if ml > LEAST_ML:
            scores.append(dice)
        print(
            f"| {name} | {organ['name']} | {ml:.1f} | {dice:.5f} | {np.count_nonzero(found != expected)} |", flush=True
        )
    return scores or [1.0]


def _children() -> float:
    """CPU seconds of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
