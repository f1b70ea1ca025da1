"""A clinic with another rule, made of clinical contours by a stated change, as training data for `adapt`:

    python -m tools.second_clinic OPENKBP/train DATA [--patients 20]
    cd training && python -m hn_training adapt MODEL --config DATA/adapt.toml --out ADAPTED --folds 2

The rule: the cord is the canal (grown by 4 mm, a voxel of these CTs, in its slices, where no other organ is), and the
brainstem ends 20 mm lower (what is canal there becomes brainstem). The patients are those, by number, whose brainstem
and cord are seen on nine slices in ten (OPENKBP/index.json).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from HNSegmenterLib.service.collecting.adapt_settings import adapt_toml

BRAINSTEM, CORD, KEPT = 1, 2, {"Brainstem": 1, "SpinalCord": 2, "Parotid_L": 3, "Parotid_R": 4}
GROWN_MM, LOWER_MM = 4.0, 20.0
ENOUGH_CONTEXT = 0.9
NEVER = {"train/pt_36"}  # the same scan as one that is held back
HAND = "rule"


def by_the_rule(label: sitk.Image) -> sitk.Image:
    """Values of KEPT, on the same grid. Slices are ordered from the feet up, as OpenKBP's are."""
    values = sitk.GetArrayFromImage(label)
    values[values > max(KEPT.values())] = 0
    cord = sitk.GetImageFromArray((values == CORD).astype(np.uint8))
    radius = [max(1, round(GROWN_MM / mm)) for mm in label.GetSpacing()[:2]]
    grown = sitk.GetArrayFromImage(sitk.BinaryDilate(cord, [*radius, 0])) > 0
    values[grown & (values == 0)] = CORD
    stem = np.flatnonzero((values == BRAINSTEM).any(axis=(1, 2)))
    if len(stem):
        upper = values[max(0, int(stem[0]) - round(LOWER_MM / label.GetSpacing()[2])) :]
        upper[upper == CORD] = BRAINSTEM
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(label)
    return made


def make(source: Path, out: Path, count: int) -> list[str]:
    """Writes DATA; returns the patients' names."""
    index = json.loads((source.parent / "index.json").read_text(encoding="utf-8"))
    seen = [
        key
        for key, entry in index.items()
        if key.startswith(f"{source.name}/")
        and key not in NEVER
        and all(entry["context"].get(organ, 0) >= ENOUGH_CONTEXT for organ in ("Brainstem", "SpinalCord"))
    ]
    names = [key.rpartition("/")[2] for key in seen]
    names = sorted(names, key=lambda name: int(name.rpartition("_")[2]))[:count]
    for name in names:
        folder = out / "patients" / name
        folder.mkdir(parents=True)
        (folder / "data.nii.gz").symlink_to((source / name / "data.nii.gz").resolve())
        label = sitk.ReadImage(str(source / name / "label.nii.gz"))
        sitk.WriteImage(by_the_rule(label), str(folder / f"{HAND}.nii.gz"))
    entries = {name: index[f"{source.name}/{name}"] for name in names}
    (out / "index.json").write_text(json.dumps(entries), encoding="utf-8")
    (out / "adapt.toml").write_text(adapt_toml("patients", "index.json", HAND, KEPT), encoding="utf-8")
    return names


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tools.second_clinic", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, metavar="OPENKBP/train")
    parser.add_argument("out", type=Path, metavar="DATA", help="a new folder")
    parser.add_argument("--patients", type=int, default=20, metavar="N")
    args = parser.parse_args()
    print(", ".join(make(args.source, args.out, args.patients)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
