"""One adaptation: from given weights, with early stopping on patients set aside, resumable."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ..config import Config
from ..data.patches import batches
from ..data.patients import Patient
from ..fitting import logs, loop, warm_start
from ..fitting.curves import draw
from ..packing.model_folder import write_json
from ..scoring import score
from ..scoring.tune import CANDIDATES
from ..scoring.tune import best as best_thresholds
from .settings import Stop

BEST, DONE, LOOKS = "best.pt", "done.json", "looks.csv"


def adapt(config: Config, start: Path, patches: Dataset, judges: list[Patient], stop: Stop, folder: Path) -> int:
    """Trains in `folder` from the checkpoint `start`, from the last checkpoint if there is one;
    gives the step of best.pt.

    best.pt has the averaged weights of the look with the highest mean Dice on `judges`, which teach nothing; without
    judges those of the last step. A run that is done is not run again.
    """
    if (folder / DONE).exists():
        return json.loads((folder / DONE).read_text())["best_step"]
    folder.mkdir(parents=True, exist_ok=True)
    run, path = loop.start(config), folder / loop.CHECKPOINT
    if path.exists():
        run.restore(path)
        for name in (loop.LOSSES, LOOKS):
            logs.forget_after(folder / name, run.step)
        print(f"{folder.name}: going on from step {run.step}.", flush=True)
    else:
        run.origin = warm_start.load(run.network, run.average, start)
    if judges and not (folder / LOOKS).exists():
        look(run, judges, folder)
    train(run, patches, judges, stop, folder)
    if not judges:
        shutil.copyfile(path, folder / BEST)
    best_step = best(folder)[0] if judges else run.step
    write_json(folder / DONE, {"best_step": best_step, "steps": run.step, "minutes": round(run.seconds / 60, 1)})
    return best_step


def train(run: loop.Run, patches: Dataset, judges: list[Patient], stop: Stop, folder: Path) -> None:
    """Steps until the schedule ends or the looks at the judges have not got better for long; leaves a checkpoint."""
    path = folder / loop.CHECKPOINT
    saved = last = time.monotonic()
    for batch in batches(patches, run.config, run.step):
        if run.progress() >= 1 or (judges and overdue(folder, stop)):
            break
        loop.train_step(run, batch)
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if run.step % loop.LOG_EVERY == 0:
            loop.log(run, folder)
        if judges and (run.step % stop.look_every == 0 or run.progress() >= 1):
            look(run, judges, folder)
            last = time.monotonic()
        if now - saved > run.config.optimise.checkpoint_s:
            run.save(path)
            saved = time.monotonic()
    run.save(path)
    draw(folder)


def look(run: loop.Run, judges: list[Patient], folder: Path) -> None:
    """Scores the judges, and keeps the averaged weights if they are the best so far."""
    means = judged(run, judges)
    mean = float(np.mean(list(means.values()))) if means else 0.0
    if mean > best(folder)[1]:
        run.save(folder / BEST)
    logs.append(
        folder / LOOKS,
        {"step": run.step, "mean": round(mean, 5)} | {organ: round(value, 4) for organ, value in means.items()},
    )
    run.save(folder / loop.CHECKPOINT)
    print(
        f"{folder.name} step {run.step}: {mean:.3f}",
        {organ: round(value, 3) for organ, value in means.items()},
        flush=True,
    )


def judged(run: loop.Run, judges: list[Patient]) -> dict[str, float]:
    """Mean Dice by organ, each at its best threshold: thresholds are tuned in the end, and until then they wander."""
    scores: dict[float, dict] = {threshold: {} for threshold in CANDIDATES}
    for patient in judges:
        prediction = score.predict(run.average, patient, run.config)
        for threshold in CANDIDATES:
            scores[threshold][patient.name] = score.dice(prediction.at(threshold), patient)
    chosen = best_thresholds(scores)
    return {organ: score.means(scores[threshold])[organ] for organ, threshold in chosen.items()}


def best(folder: Path) -> tuple[int, float]:
    """Step and mean Dice of the best look so far."""
    return max(looks(folder), key=lambda row: row[1], default=(0, -1.0))


def overdue(folder: Path, stop: Stop) -> bool:
    steps = [step for step, _ in looks(folder)]
    return bool(steps) and len(steps) - 1 - steps.index(best(folder)[0]) >= stop.patience


def looks(folder: Path) -> list[tuple[int, float]]:
    if not (folder / LOOKS).exists():
        return []
    with (folder / LOOKS).open(newline="") as file:
        return [(int(row["step"]), float(row["mean"])) for row in csv.DictReader(file)]
