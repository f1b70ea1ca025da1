"""The sample CT at planning size, from the small template beside this file.

Whole numbers all the way: the same voxels on every machine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

TEMPLATE = Path(__file__).with_name("sample_patient.npz")
ORGANS = ("Brainstem", "SpinalCord", "Parotid_L", "Parotid_R", "Eye_L", "Eye_R")  # label 1..6 in the template
SIZE = 512  # columns and rows
SPACING_MM = (1.0, 1.0, 2.5)

_AIR_HU = -1000
_LOWEST_HU = -1024  # what a scanner of 12 bits stores at least
_NOISE_FIELDS = 16
# Sum of 12 uniform bytes, smoothed in-plane with (1 2 1)/4 both ways: standard deviation 256 sqrt(12/12) * 6/16 = 96.
# Divided by 11: 9 HU, in the range of planning CTs with 2.5 mm slices (5 to 12 HU in soft tissue).
_NOISE_DIVISOR = 11


def sample_volume(seed: int = 0) -> tuple[sitk.Image, dict[str, sitk.Image]]:
    """The CT (int16 HU, 512 x 512 x 136 at 1 x 1 x 2.5 mm, LPS) and the labelmaps of its organs (uint8 0/1, same grid).

    seed: of the noise; the anatomy is always the same.
    """
    with np.load(TEMPLATE) as template:
        coarse, labels, start, corner = (template[name] for name in ("hu", "labels", "start", "corner_mm"))
    fine = _twice(_twice(coarse, 2), 1)
    _add_noise(fine, seed)

    origin = tuple(float(v) for v in corner)
    hu = np.full((len(fine), SIZE, SIZE), _AIR_HU, np.int16)
    j, i = (int(v) for v in start)
    hu[:, j : j + fine.shape[1], i : i + fine.shape[2]] = fine
    maps = {}
    for value, name in enumerate(ORGANS, 1):
        mask = np.zeros(hu.shape, np.uint8)
        mask[:, j : j + fine.shape[1], i : i + fine.shape[2]] = labels == value
        maps[name] = _image(mask, origin)
    return _image(hu, origin), maps


def _twice(volume: np.ndarray, axis: int) -> np.ndarray:
    """Twice the samples along an axis: each as it was, then one half-way to the next (cubic, kept between the two)."""
    first = np.moveaxis(volume, axis, 0)
    padded = np.concatenate([first[:1], first, first[-1:], first[-1:]])
    before, left, right, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    half = (9 * (left + right).astype(np.int32) - before - after + 8) >> 4
    half = np.clip(half, np.minimum(left, right), np.maximum(left, right))
    both = np.empty((2 * len(first), *first.shape[1:]), np.int16)
    both[0::2], both[1::2] = first, half
    return np.moveaxis(both, 0, axis)


def _add_noise(hu: np.ndarray, seed: int) -> None:
    """Add a scanner's noise in place, in-plane correlated;
    each slice gets one of a few fields, shifted and mirrored."""
    random = np.random.Generator(np.random.PCG64(seed))
    shape = (_NOISE_FIELDS, *hu.shape[1:])
    field = np.zeros(shape, np.int32)
    for _ in range(12):
        field += np.frombuffer(random.bytes(field.size), np.uint8).reshape(shape)
    field -= 12 * 255 // 2
    for axis in (1, 2):
        field = np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)
    field = (field >> 4).astype(np.int16) // _NOISE_DIVISOR
    for k, (dj, di, mirror) in enumerate(random.integers(0, 256, (len(hu), 3))):
        noise = np.roll(field[k % _NOISE_FIELDS], (dj, di), (0, 1))
        hu[k] += noise[:, ::-1] if mirror & 1 else noise
    np.maximum(hu, _LOWEST_HU, out=hu)


def _image(array: np.ndarray, origin: tuple[float, ...]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_MM)
    image.SetOrigin(origin)
    return image
