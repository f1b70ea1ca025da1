"""Finds the eyeballs in a CT: a pair of ellipsoids, fitted to the image from a rough start.

Nobody contoured the eyes of the training patients; this draws them. Each voxel says how much more
likely its HU is in an eyeball (water) than around it (fat, muscle, bone, air). The pair of ellipsoids
that collects most of that, weighed against the shapes that experts drew, is taken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ..data.patients import folders, read_lps
from .eyes import LABELS

VOID_HU = -1000

# Shapes of 24 pairs of eyes that an oncologist contoured (S. Nikolov et al., arXiv:1809.04430):
# radii x, y, z of the ellipsoid with the same second moments.
LOG_RADII = np.log([12.6, 12.0, 13.6])
LOG_RADII_SD = np.array([0.05, 0.05, 0.075])
LOG_RADII_DIFFERENCE_SD = 0.02
"""Between both eyes of a patient; their volumes differ by 0.34 ml of 8.5 ml (SD)."""
APART_MM, APART_SD_MM = 63.5, 3.7

EVIDENCE = 0.3
"""What one voxel's log-likelihood ratio weighs: neighbouring voxels aren't independent."""
EDGE_MM = (3.0, 1.5)
"""Softness of the ellipsoid's edge in successive fits; the first finds, the last measures."""
SWELL = (-0.08, 0.0, 0.08)
"""Fits start from these log sizes, and the best one is taken."""
SEARCH_MM = 8.0
REACH_MM = 34.0
AIR_MM = 6.0
"""Void this far before an eye's centre is air."""
FITTED_SHARE = 0.88
"""Of an eye's volume: fits to a phantom with experts' eyes, on voxels as large as these CTs' (eyes/README.md)."""
VOID_SHARE = 0.02
"""More of an eye than this blanked or beyond the scan: it is cut."""


@dataclass(frozen=True)
class Eye:
    """`centre` in mm from the centre of voxel 0 (x, y, z), `radii` in mm."""

    centre: np.ndarray
    radii: np.ndarray

    @property
    def volume_ml(self) -> float:
        return float(4 / 3 * np.pi * self.radii.prod() / 1000)

    def whole(self) -> Eye:
        """As large as the eye is of which this is the fit."""
        return Eye(self.centre, self.radii / FITTED_SHARE ** (1 / 3))

    def as_json(self, spacing: Sequence[float]) -> dict:
        return {"centre_ijk": np.round(self.centre / spacing, 2).tolist(), "radii_mm": np.round(self.radii, 2).tolist()}


@dataclass(frozen=True)
class Surroundings:
    """Voxels near one eye: positions in mm (n, 3), HU (n,), and the log-likelihood ratio of an eye (n,)."""

    position: np.ndarray
    hu: np.ndarray
    ratio: np.ndarray


def fit(image: np.ndarray, spacing: Sequence[float], starts: Sequence[Sequence[float]]) -> tuple[Eye, Eye]:
    """Left and right eye in `image` (z, y, x) HU, near `starts` (voxel x, y, z of the left and right centre)."""
    sides = []
    for rough in np.asarray(starts, float) * spacing:
        near = surroundings(image, spacing, rough)
        start = search(near, rough)
        sides.append((reweigh(near, start), start))
    near, centres = zip(*sides)
    fits = [refine(near, np.concatenate([*centres, LOG_RADII + swell, np.zeros(3)])) for swell in SWELL]
    best = min(fits, key=lambda parameters: cost(near, parameters, EDGE_MM[-1]))
    left, right = (Eye(centre, radii) for centre, radii in unpack(best))
    return left, right


def refine(near: Sequence[Surroundings], parameters: np.ndarray) -> np.ndarray:
    """The best parameters (see `unpack`) downhill from these, with an ever sharper edge."""
    scale = np.concatenate([np.full(6, 1.0), np.full(6, 0.03)])
    for edge in EDGE_MM:
        found = minimize(
            lambda steps, begin=parameters, edge=edge: cost(near, begin + steps * scale, edge),
            np.zeros(12),
            method="Powell",
            options={"xtol": 1e-3, "ftol": 1e-5, "maxiter": 20},
        )
        parameters = parameters + found.x * scale
    return parameters


def cost(near: Sequence[Surroundings], parameters: np.ndarray, edge: float) -> float:
    """Minus the log posterior of a pair."""
    return penalty(parameters) - sum(evidence(n, *eye, edge) for n, eye in zip(near, unpack(parameters)))


def unpack(parameters: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Centre and radii of both eyes from: two centres, log of the mean radii, half their log difference."""
    left, right, mean, half = parameters.reshape(4, 3)
    return [(left, np.exp(mean + half)), (right, np.exp(mean - half))]


def penalty(parameters: np.ndarray) -> float:
    """Minus the log prior of a pair."""
    left, right, mean, half = parameters.reshape(4, 3)
    apart = np.linalg.norm(left - right)
    return 0.5 * float(
        (((mean - LOG_RADII) / LOG_RADII_SD) ** 2).sum()
        + ((2 * half / LOG_RADII_DIFFERENCE_SD) ** 2).sum()
        + ((apart - APART_MM) / APART_SD_MM) ** 2
    )


def evidence(near: Surroundings, centre: np.ndarray, radii: np.ndarray, edge: float) -> float:
    return EVIDENCE * float((inside(near.position, centre, radii, edge) * near.ratio).sum())


def inside(position: np.ndarray, centre: np.ndarray, radii: np.ndarray, edge: float) -> np.ndarray:
    """How far each position is inside an ellipsoid, 0 to 1, with a soft edge of `edge` mm."""
    depth = (1 - np.linalg.norm((position - centre) / radii, axis=1)) * radii.mean()
    return 1 / (1 + np.exp(np.clip(-depth / edge * 2, -30, 30)))


def surroundings(image: np.ndarray, spacing: Sequence[float], centre: np.ndarray) -> Surroundings:
    """The voxels within `REACH_MM` of `centre` (mm), weighed as for a typical eye."""
    axes = [
        np.arange(max(0, int((c - REACH_MM) / s)), min(n, int((c + REACH_MM) / s) + 1))
        for c, s, n in zip(centre, spacing, reversed(image.shape))
    ]
    x, y, z = axes
    grid = np.stack(np.meshgrid(*(a * s for a, s in zip(axes, spacing)), indexing="ij"), axis=-1)
    hu = image[np.ix_(z, y, x)].transpose(2, 1, 0).astype(float).ravel()
    return weigh(grid.reshape(-1, 3), hu, centre, 15.0, 25.0)


def search(near: Surroundings, start: np.ndarray) -> np.ndarray:
    """The best place for an eye of mean shape within `SEARCH_MM` of `start`, on a 2 mm lattice."""
    steps = np.arange(-SEARCH_MM, SEARCH_MM + 1, 2.0)
    lattice = start + np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice = lattice[np.linalg.norm(lattice - start, axis=1) <= SEARCH_MM]
    return max(lattice, key=lambda c: evidence(near, c, np.exp(LOG_RADII), EDGE_MM[0]))


def reweigh(near: Surroundings, centre: np.ndarray) -> Surroundings:
    """Weighs the voxels anew, by the HU measured within 8 mm of `centre`."""
    core = near.hu[(np.linalg.norm(near.position - centre, axis=1) < 8) & (near.hu > -200)]
    middle = np.median(core) if len(core) else 15.0
    spread = 1.48 * np.median(np.abs(core - middle)) if len(core) else 25.0
    return weigh(near.position, near.hu, centre, np.clip(middle, -10, 50), np.clip(spread, 12, 35))


def weigh(position: np.ndarray, hu: np.ndarray, centre: np.ndarray, eye: float, spread: float) -> Surroundings:
    """Void may have been an eye once, so it says little, except in front, where it is the air before the face."""
    void = (hu <= VOID_HU) & (position[:, 1] > centre[1] - AIR_MM)
    return Surroundings(position, hu, np.where(void, -0.5, log_ratio(hu, eye, spread)))


def log_ratio(hu: np.ndarray, eye: float, spread: float) -> np.ndarray:
    """Log of how much likelier each HU is in an eye (water of `eye` +- `spread`; lens, sclera) than around it.

    Held within -1 and 1, or the ellipsoid shuns its fat and bone more than it fills its water.
    """

    def bell(middle, width):
        return np.exp(-0.5 * ((hu - middle) / width) ** 2) / width / 2.507

    in_eye = 0.9 * bell(eye, spread) + 0.09 * bell(70, 50) + 0.01 / 2500
    around = 0.35 * bell(-85, 40) + 0.3 * bell(45, 35) + 0.15 * bell(-20, 50) + 0.2 / 2500
    return np.clip(np.log(in_eye / around), -1, 1)


def void_share(image: np.ndarray, spacing: Sequence[float], eye: Eye) -> float:
    """Share of the eye behind its front third that is blanked or outside the scan."""
    steps = np.linspace(-1, 1, 25)
    ball = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    ball = ball[(np.linalg.norm(ball, axis=1) <= 1) & (ball[:, 1] > -1 / 3)] * eye.radii + eye.centre
    index = np.rint(ball / spacing).astype(int)[:, ::-1]
    seen = ((index >= 0) & (index < image.shape)).all(axis=1)
    z, y, x = index[seen].T
    return 1 - float((image[z, y, x] > VOID_HU).sum()) / len(index)


def fit_split(data: Path, index: Path, review: Path) -> dict[str, dict]:
    """Fits every patient folder under `data`; patient name to its entry in the eyes file.

    Starts from the index's `eye_candidates_ijk`. `review` ({patient: {"state", "why"} or
    {"start": {"Eye_L": [x, y, z], "Eye_R": ...}}}) has what a look at every case changed. Of the others, a pair
    with void in either eye is unknown, and so is a patient without a start.
    """
    candidates = json.loads(Path(index).read_text(encoding="utf-8"))
    looked = json.loads(Path(review).read_text(encoding="utf-8"))
    out = {}
    for folder in folders(data):
        verdict = looked.get(folder.name, {})
        start = verdict.get("start") or candidates[f"{folder.parent.name}/{folder.name}"].get("eye_candidates_ijk")
        if "state" in verdict or not start:
            out[folder.name] = {"state": verdict.get("state", "unknown")}
            continue
        image, spacing = read_lps(folder / "data.nii.gz")
        pair = fit(image, spacing, [start[eye] for eye in LABELS])
        if max(void_share(image, spacing, eye) for eye in pair) > VOID_SHARE:
            out[folder.name] = {"state": "unknown"}
        else:
            out[folder.name] = {"state": "drawn"} | {n: eye.whole().as_json(spacing) for n, eye in zip(LABELS, pair)}
    return out


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hn_training.eyes.fit_eyes", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of patient folders")
    parser.add_argument("--index", type=Path, required=True, help="index.json with eye_candidates_ijk")
    parser.add_argument("--review", type=Path, required=True, help="what a look at every case changed (JSON)")
    parser.add_argument("--out", type=Path, required=True, help="eyes file to write (JSON)")
    args = parser.parse_args()
    found = fit_split(args.data, args.index, args.review)
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
    args.out.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(Counter(entry["state"] for entry in found.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
