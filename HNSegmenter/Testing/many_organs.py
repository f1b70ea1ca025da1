"""Sixty made-up organs of head, neck and chest, as another model might draw them: ellipsoids, TG-263 names."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence

import numpy as np
import SimpleITK as sitk

from HNSegmenterLib.result import Organ

Place = tuple[tuple[float, float, float], tuple[float, float, float]]
# Centre (L, P, S) from the brainstem's middle and semi-axes, mm.
MIDLINE: dict[str, Place] = {
    "Brainstem": ((0, 0, 0), (16, 15, 28)),
    "SpinalCord": ((0, 2, -100), (6, 6, 71)),
    "Bone_Mandible": ((0, -70, -60), (30, 12, 12)),
    "Larynx": ((0, -40, -115), (15, 15, 18)),
    "Trachea": ((0, -32, -148), (8, 8, 12)),
    "Esophagus": ((0, -18, -145), (7, 7, 14)),
    "Cavity_Oral": ((0, -72, -42), (20, 18, 15)),
    "Pharynx": ((0, -38, -55), (10, 9, 25)),
    "Lips": ((0, -98, -45), (16, 5, 6)),
    "OpticChiasm": ((0, -40, 30), (5, 4, 3)),
    "Pituitary": ((0, -42, 24), (4, 4, 4)),
    "Brain": ((0, -15, 55), (55, 65, 22)),
    "Cerebellum": ((0, 35, -2), (40, 22, 20)),
    "Nasalcavity": ((0, -82, -8), (9, 15, 14)),
    "Glottis": ((0, -40, -125), (6, 6, 4)),
    "Glnd_Thyroid": ((0, -38, -140), (20, 6, 12)),
    "Musc_Constrict_S": ((0, -28, -50), (12, 4, 14)),
    "Musc_Constrict_M": ((0, -28, -75), (12, 4, 8)),
    "Musc_Constrict_I": ((0, -28, -95), (12, 4, 8)),
    "Tongue_All": ((0, -62, -55), (16, 20, 12)),
}
LEFT: dict[str, Place] = {
    "Parotid": ((59, -23, -40), (15, 20, 26)),
    "Eye": ((31, -81, 33), (12.5, 12.5, 12.5)),
    "Lens": ((31, -92, 33), (3.5, 2, 3.5)),
    "OpticNrv": ((17, -58, 31), (3, 14, 3)),
    "Cochlea": ((22, -8, 3), (3, 3, 3)),
    "Ear_Middle": ((42, -6, 4), (6, 6, 6)),
    "Ear_Internal": ((30, -6, 6), (6, 5, 5)),
    "Glnd_Submand": ((28, -52, -72), (9, 14, 12)),
    "Glnd_Lacrimal": ((42, -78, 43), (5, 6, 5)),
    "Joint_TM": ((48, -30, 0), (7, 7, 7)),
    "Lobe_Temporal": ((42, -30, 24), (16, 28, 13)),
    "Hippocampus": ((25, -15, 26), (6, 14, 6)),
    "Hypothalmus": ((4, -30, 36), (3, 4, 3)),
    "A_Carotid": ((20, -25, -90), (4, 4, 60)),
    "V_Jugular": ((30, -22, -100), (6, 6, 50)),
    "BrachialPlex": ((35, -5, -135), (15, 8, 15)),
    "Musc_Masseter": ((52, -52, -45), (6, 12, 22)),
    "Musc_Sclmast": ((45, -5, -100), (8, 10, 40)),
    "Cornea": ((31, -95, 33), (5, 1.5, 5)),
    "Lung": ((55, -5, -158), (22, 28, 16)),
}
NAMES = tuple(MIDLINE) + tuple(f"{name}_{side}" for name in LEFT for side in "LR")
assert len(NAMES) == 60


def place(name: str) -> Place:
    if name in MIDLINE:
        return MIDLINE[name]
    (l, p, s), axes = LEFT[name[:-2]]
    return (l if name.endswith("L") else -l, p, s), axes


def many_organs(names: Sequence[str] = NAMES, status: str = "found") -> list[Organ]:
    """No codes, as where a model's maker knew none; colours around the wheel."""
    wheel = [colorsys.hsv_to_rgb(n * 0.618 % 1, 0.7, 1.0) for n in range(len(names))]
    colors = [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in wheel]
    return [
        Organ(name, label, color, status=status, file=f"{name}.nii.gz")
        for label, (name, color) in enumerate(zip(names, colors, strict=True), start=1)
    ]


def labelmaps_on(
    grid: sitk.Image, names: Sequence[str] = NAMES, brainstem: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Iterator[tuple[str, sitk.Image]]:
    """Name and binary labelmap (uint8) of each on an axial grid, one at a time; brainstem: its middle, LPS mm."""
    axes = [
        grid.GetOrigin()[axis] + np.arange(grid.GetSize()[axis]) * grid.GetSpacing()[axis] - brainstem[axis]
        for axis in range(3)
    ]
    for name in names:
        inside = [((x - c) / a) ** 2 for x, c, a in zip(axes, *place(name), strict=True)]
        near = [np.flatnonzero(part < 1) for part in inside]
        mask = np.zeros(grid.GetSize()[::-1], np.uint8)
        if all(len(part) for part in near):
            i, j, k = (slice(part[0], part[-1] + 1) for part in near)
            mask[k, j, i] = inside[2][k, None, None] + inside[1][j, None] + inside[0][i] < 1
        image = sitk.GetImageFromArray(mask)
        image.CopyInformation(grid)
        yield name, image
