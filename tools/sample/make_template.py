"""Average the training patients of OpenKBP into one template of nobody (step 1 of 2, docs/sample.md).

    python -m tools.sample.make_template --data DIR/openkbp --output population.npz

No random number is used. The patients' mean shape comes from landmarks, then from demons towards the median of
all, twice at 8 mm and once at 4 mm. No value of a single patient survives: each voxel is the median of at least 12.
"""

from __future__ import annotations

import argparse
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from .patients import LABELS, Patient, load_all
from .registration import Grid, demons, landmark_field, recentre, resample, sample_field, warp, warp_label

LEAST_PATIENTS = 12
FINE = Grid(shape=(136, 156, 264), spacing=(2.0, 2.0, 2.5), origin=(-264.0, -150.0, -217.0))
_WORK = Grid(shape=(86, 78, 132), spacing=(4.0, 4.0, 4.0), origin=(-264.0, -150.0, -217.0))
_ROUNDS = ((2, 60, 12.0), (2, 80, 9.0), (1, 16, 6.0))  # coarsening of _WORK, iterations, smoothing in mm
_HISTOGRAM_EDGES = np.arange(-1024.5, 3072.5, 1.0)
_UNSOUND = np.iinfo(np.int16).max


def median(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median over axis 0 of int16 HU, _UNSOUND aside, float32, and how many each is of; -1000 of under 12 patients."""
    count = (stack != _UNSOUND).sum(0)
    ranked = np.sort(stack, axis=0)
    low = np.take_along_axis(ranked, np.maximum(count[None] - 1, 0) // 2, 0)[0]
    high = np.take_along_axis(ranked, np.minimum(count[None] // 2, len(stack) - 1), 0)[0]
    middle = (low.astype(np.float32) + high) / 2
    middle[count < LEAST_PATIENTS] = -1000
    return middle, count


def whole(patient: Patient, points: np.ndarray, order: int = 1) -> np.ndarray:
    """int16 HU of the patient at points (3, ...) mm, _UNSOUND where its image does not say."""
    hu, sound = warp(patient, points, order)
    return np.where(sound, np.rint(np.clip(hu, -1024, 3071)), _UNSOUND).astype(np.int16)


def register(patients: list[Patient], processes: int) -> list[np.ndarray]:
    """Fields on _WORK from the mean shape to every patient."""
    landmarks = np.array([p.landmarks for p in patients])
    mean = landmarks.mean(0)
    fields = [landmark_field(mean, each, _WORK) for each in landmarks]
    for coarsening, iterations, smooth_mm in _ROUNDS:
        grid = _WORK.coarser(coarsening)
        points = grid.points()
        template, count = median(
            np.stack([whole(p, points + resample(f, _WORK, grid)) for p, f in zip(patients, fields)])
        )
        known = count >= LEAST_PATIENTS
        with Pool(processes) as pool:
            fields = pool.starmap(
                demons,
                [
                    (template, known, p, resample(f, _WORK, grid), grid, iterations, smooth_mm)
                    for p, f in zip(patients, fields)
                ],
            )
        fields = [resample(field, grid, _WORK) for field in recentre(fields, grid)]
        print(f"registered at {grid.spacing[0]:g} mm", flush=True)
    return fields


def average(patients: list[Patient], fields: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What is kept of the patients, on FINE.

    hu: their median, int16 [k, j, i]; count: of how many; histogram: voxels of the patients per HU from -1024, in and
    close about the body; per organ the share of patients, float32 [k, j, i], who have it there. The cord counts between
    the levels where each patient's contours begin and end;
    SpinalCord_ends: their median lower and upper level, as slices.
    """
    near = _near_the_body(patients, fields)
    points = FINE.points()[:, near]
    k_of = np.nonzero(near)[0]
    stack = np.empty((len(patients), points.shape[1]), np.int16)
    shares = {name: np.zeros(FINE.shape, np.float32) for name in LABELS}
    drawn = np.zeros((FINE.shape[0], 1, 1), np.float32)
    ends = []
    for n, (patient, field) in enumerate(zip(patients, fields)):
        there = points + sample_field(field, _WORK, points)
        stack[n] = whole(patient, there, order=3)
        for name, label in LABELS.items():
            share = warp_label(patient, there, label)
            shares[name][near] += share
            if name == "SpinalCord":
                levels = k_of[share > 0.5]
                drawn[levels.min() : levels.max() + 1] += 1
                ends.append((levels.min(), levels.max()))
    for name in shares:
        shares[name] /= np.maximum(drawn, 1) if name == "SpinalCord" else len(patients)
    hu, count = np.full(FINE.shape, -1000, np.int16), np.full(FINE.shape, len(patients), np.uint8)
    hu[near], count[near] = median(stack)
    return {
        "hu": hu,
        "count": count,
        "histogram": np.histogram(stack[stack != _UNSOUND], _HISTOGRAM_EDGES)[0],
        "SpinalCord_ends": np.median(ends, axis=0),
        **shares,
    }


def _near_the_body(patients: list[Patient], fields: list[np.ndarray]) -> np.ndarray:
    """bool [k, j, i] on FINE: at most 12 mm outside the median's body; all else is air."""
    points = _WORK.points()
    hu, count = median(np.stack([whole(p, points + f) for p, f in zip(patients, fields)]))
    near = binary_dilation((hu > -900) | (count < LEAST_PATIENTS), iterations=3)
    fine = FINE.points()
    index = [np.rint((fine[a] - _WORK.origin[a]) / _WORK.spacing[a]).astype(int) for a in (2, 1, 0)]
    return near[tuple(np.minimum(i, n - 1) for i, n in zip(index, near.shape))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with index.json and train/")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--patients", type=int, default=28, metavar="N", help="at most; default: 28")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()

    patients = load_all(args.data, args.patients)
    print(f"{len(patients)} patients", flush=True)
    fields = register(patients, args.processes)
    means: dict[str, Any] = average(patients, fields)
    np.savez_compressed(
        args.output,
        **means,
        eyes=np.mean([p.landmarks[5:7] for p in patients], axis=0),
        names=np.array([p.name for p in patients]),
    )


if __name__ == "__main__":
    main()
