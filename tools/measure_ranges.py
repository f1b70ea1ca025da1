"""Computes ranges.json, the plausible ranges of the checks, from expert contours.

    python -m tools.measure_ranges DATA [-o ranges.json]

DATA holds `tcia-labels/<scan>/label.nii.gz` (TCIA planning scans, Nikolov et al., arXiv:1809.04430) and
`openkbp/{index.json, train/pt_N/{data,label}.nii.gz}` (OpenKBP, Babier et al., Medical Physics 48, 2021). Of the
second, only organs whose surroundings are sound on 90 % of their slices count, and only the sound slices count for the
HU. Organs that touch the end of their scan may be cut and give no volume, extent or position.
Nothing but pooled percentiles is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HNSegmenterLib.checks.ranges import FILE, LEFT_RIGHT, ORGANS
from HNSegmenterLib.checks.shapes import AXES, Shape, measure
from HNSegmenterLib.checks.tissue import air_share
from HNSegmenterLib.result import write_json

TCIA_LABELS = {"Eye_L": 1, "Eye_R": 2, "Brainstem": 3, "SpinalCord": 4, "Parotid_L": 5, "Parotid_R": 6}
OPENKBP_LABELS = {"Brainstem": 1, "SpinalCord": 2, "Parotid_L": 3, "Parotid_R": 4}
SOUND = 0.9
PERCENTILES = (1.0, 99.0)
FACTOR, LENGTH, SHARE = "factor", "length", "share"
# Beyond each percentile: a share of their distance, and no less than a few slices,
# a factor (volumes, in logarithms), 5 %.
MARGIN = {FACTOR: 0.2, LENGTH: 0.4, SHARE: 0.4}
LEAST = {FACTOR: 1.3, LENGTH: 8.0, SHARE: 0.05}
SCALES = {
    "volume_ml": FACTOR,
    "extent_mm": FACTOR,
    "cross_section_mm2": FACTOR,
    "volume_ratio": FACTOR,
    "air_share": SHARE,
    "loose_share": SHARE,
}

Key = tuple[str, ...]
Observations = dict[Key, list[float]]

EXPERTS_ALONE: set[Key] = {("organs", "SpinalCord", "cross_section_mm2")}
"""Figures that come from one protocol alone where there is any: many clinics draw half of the canal for the cord."""


@dataclass
class Scan:
    """One expert's contours: shapes, and the share of air of those organs whose CT is at hand."""

    name: str
    shapes: dict[str, Shape]
    air: dict[str, float]


def tcia_scans(folder: Path) -> Iterator[Scan]:
    for file in sorted(folder.glob("*/label.nii.gz")):
        labels = sitk.ReadImage(str(file))
        yield Scan(file.parent.name, shapes_of(labels, TCIA_LABELS), {})


def openkbp_scans(folder: Path, part: str = "train") -> Iterator[Scan]:
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for patient in sorted(key for key in index if key.startswith(part + "/")):
        context = index[patient]["context"]
        sound = {name: label for name, label in OPENKBP_LABELS.items() if context.get(name, 0.0) >= SOUND}
        if not sound:
            continue
        shapes = shapes_of(sitk.ReadImage(str(folder / patient / "label.nii.gz")), sound)
        ct = sitk.ReadImage(str(folder / patient / "data.nii.gz"))
        blank = index[patient].get("slices_without_context", {})
        yield Scan(patient, shapes, {name: air_share(ct, shape, blank.get(name, ())) for name, shape in shapes.items()})


def shapes_of(labels: sitk.Image, values: dict[str, int]) -> dict[str, Shape]:
    shapes = {name: measure(name, labels == value) for name, value in values.items()}
    return {name: shape for name, shape in shapes.items() if shape is not None}


def is_cut(shape: Shape) -> bool:
    """Whether the organ may go on outside the scan, the cord's lower end aside."""
    return bool(shape.faces - ({"S-"} if shape.name == "SpinalCord" else set()))


def observe(scan: Scan) -> Iterator[tuple[Key, float]]:
    """Every figure of one scan with its place in ranges.json."""
    whole = {name: shape for name, shape in scan.shapes.items() if not is_cut(shape)}
    for name, shape in whole.items():
        yield ("organs", name, "loose_share"), shape.loose_ml / shape.volume_ml
        if name == "SpinalCord":
            yield ("organs", name, "cross_section_mm2"), shape.cross_section_mm2
            continue
        yield ("organs", name, "volume_ml"), shape.volume_ml
        for axis, extent in zip(AXES, shape.extent, strict=True):
            yield ("organs", name, "extent_mm", axis), float(extent)
    for name, share in scan.air.items():
        yield ("organs", name, "air_share"), share
    for first, second in combinations((name for name in ORGANS if name in whole), 2):
        for axis, offset in zip(AXES, whole[second].landmark - whole[first].landmark, strict=True):
            yield ("pairs", f"{first} {second}", "offset_mm", axis), float(offset)
    for left, right in LEFT_RIGHT:
        if left in whole and right in whole:
            yield ("pairs", f"{left} {right}", "volume_ratio"), whole[left].volume_ml / whole[right].volume_ml
    if "Brainstem" in whole and "SpinalCord" in whole:
        yield ("brainstem_cord_gap_mm",), float(whole["Brainstem"].low[2] - whole["SpinalCord"].high[2])


def collect(scans: Iterator[Scan]) -> Observations:
    observations = defaultdict(list)
    for scan in scans:
        for key, value in observe(scan):
            observations[key].append(value)
    return observations


def plausible(values: list[float], kind: str) -> dict:
    """{"low", "median", "high", "n"}: the percentiles widened by the margin, in logarithms for volumes and ratios."""
    numbers = np.log(values) if kind == FACTOR else np.asarray(values)
    low, median, high = np.percentile(numbers, [PERCENTILES[0], 50.0, PERCENTILES[1]])
    least = np.log(LEAST[kind]) if kind == FACTOR else LEAST[kind]
    margin = max(MARGIN[kind] * (high - low), least)
    bounds = np.array([low - margin, median, high + margin])
    if kind == FACTOR:
        bounds = np.exp(bounds)
    digits = 3 if kind == SHARE or np.abs(bounds).max() < 10 else 1
    low, median, high = (round(float(bound), digits) for bound in bounds)
    return (
        {"high": high, "n": len(values)}
        if kind == SHARE
        else {"low": low, "median": median, "high": high, "n": len(values)}
    )


def ranges_of(experts: Observations, clinics: Observations) -> dict:
    """The nested ranges; the percentiles are of the pooled scans, those of `EXPERTS_ALONE` of the experts'."""
    nested: dict = {}
    for key in sorted({*experts, *clinics}):
        sources = [experts] if key in EXPERTS_ALONE and experts.get(key) else [experts, clinics]
        values = [value for source in sources for value in source.get(key, ())]
        kind = next((SCALES[part] for part in key if part in SCALES), LENGTH)
        place = nested
        for part in key[:-1]:
            place = place.setdefault(part, {})
        place[key[-1]] = plausible(values, kind)
    return nested


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="measure_ranges", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=FILE)
    args = parser.parse_args(arguments)
    tcia = list(tcia_scans(args.data / "tcia-labels"))
    openkbp = list(openkbp_scans(args.data / "openkbp")) if (args.data / "openkbp" / "index.json").is_file() else []
    if not tcia or not openkbp:
        print(f"{args.data} holds no tcia-labels or no openkbp scans: see the head of this file.", file=sys.stderr)
        return 2
    about = {
        "about": "Plausible ranges of expert contours of adults; mm, ml, mm2; offsets are second minus first organ.",
        "command": "python -m tools.measure_ranges DATA",
        "rule": f"percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g} of the pooled scans, widened each by a share "
        f"of their distance: {MARGIN[LENGTH]:.0%} for offsets (at least {LEAST[LENGTH]:g} mm), "
        f"{MARGIN[FACTOR]:.0%} in logarithms for sizes (at least a factor {LEAST[FACTOR]:g}), "
        f"{MARGIN[SHARE]:.0%} for shares (at least {LEAST[SHARE]:.0%})",
        "sources": [
            {
                "name": "TCIA planning scans, oncologist's contours (Nikolov et al., arXiv:1809.04430)",
                "scans": len(tcia),
            },
            {
                "name": "OpenKBP train, clinical contours (Babier et al., Medical Physics 48, 2021)",
                "scans": len(openkbp),
            },
        ],
    }
    write_json(args.output, about | ranges_of(collect(iter(tcia)), collect(iter(openkbp))))
    print(f"{args.output}: {len(tcia)} + {len(openkbp)} scans")
    return 0


if __name__ == "__main__":
    sys.exit(main())
