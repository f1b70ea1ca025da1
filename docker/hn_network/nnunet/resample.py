"""From the CT to the network's input: normalised, and resampled to the spacing of its training images."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .rules import Rules
from .spline import matrix

COLUMNS = 4096  # computed at a time across the planes: fixes the order of sums for any number of threads

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


def new_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> Shape:
    """Voxels along each axis at the target's spacing, as nnU-Net rounds them; at least 1."""
    z, y, x = (max(1, round(own / new * n)) for n, own, new in zip(shape, spacing, target))
    return z, y, x


def axis_apart(rules: Rules, current: Sequence[float], new: Sequence[float]) -> int | None:
    """The axis that is interpolated apart from the two others: the one with the largest spacing, of both spacings the
    first that is anisotropic. None: all together, also where two axes share the largest."""
    if rules.separate_z is False:
        return None
    forced = rules.separate_z is True
    for spacing in (current, new):
        if forced or max(spacing) / min(spacing) > rules.anisotropy:
            longest = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            return longest[0] if len(longest) == 1 else None
    return None


def normalised(hounsfield: np.ndarray, rules: Rules) -> np.ndarray:
    """nnU-Net's CTNormalization: float32, a copy."""
    values = hounsfield.astype(np.float32, order="C")
    np.clip(values, *rules.hu_clip, out=values)
    values -= np.float32(rules.hu_shift)
    values /= np.float32(max(rules.hu_scale, 1e-8))
    return values


def network_image(image: np.ndarray, spacing: Spacing, rules: Rules, threads: int) -> np.ndarray:
    """The network's input: float32, at the model's spacing.

    image: HU, transposed, cropped, any strides; spacing: its voxels in mm, transposed.
    """
    shape = new_shape(image.shape, spacing, rules.spacing_mm)
    if shape == image.shape:
        return np.stack([normalised(plane, rules) for plane in image])
    apart = axis_apart(rules, spacing, rules.spacing_mm)
    lead = apart or 0
    planes, limits = _planes(np.moveaxis(image, lead, 0), np.delete(shape, lead), rules, apart is not None, threads)
    order = rules.image_order if apart is None else rules.image_order_z
    out = _across(planes, matrix(shape[lead], len(planes), order).astype(np.float32), threads)
    if apart is None:
        np.clip(out, *limits, out=out)  # skimage keeps to the range of what it got
    return np.ascontiguousarray(np.moveaxis(out, 0, lead))


def _planes(
    image: np.ndarray, shape: np.ndarray, rules: Rules, limited: bool, threads: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Every plane of the image normalised and resampled to `shape`, limited to its own range or not; and the range of
    all of them before."""
    rows, columns = (matrix(out, n, rules.image_order).astype(np.float32) for out, n in zip(shape, image.shape[1:]))
    columns = np.ascontiguousarray(columns.T)
    planes = np.empty((len(image), *shape), np.float32)

    def resample(index: int) -> tuple[float, float]:
        values = normalised(image[index], rules)
        lowest, highest = float(values.min()), float(values.max())
        np.matmul(rows @ values, columns, out=planes[index])
        if limited:
            np.clip(planes[index], lowest, highest, out=planes[index])
        return lowest, highest

    with ThreadPoolExecutor(threads) as pool:
        ranges = list(pool.map(resample, range(len(image))))
    return planes, (min(low for low, _ in ranges), max(high for _, high in ranges))


def _across(planes: np.ndarray, weights: np.ndarray, threads: int) -> np.ndarray:
    """Planes (out, rows, columns) between the planes (in, rows, columns); weights: (out, in)."""
    out = np.empty((len(weights), *planes.shape[1:]), np.float32)
    flat, flat_out = planes.reshape(len(planes), -1), out.reshape(len(out), -1)

    def part(start: int) -> None:
        flat_out[:, start : start + COLUMNS] = weights @ flat[:, start : start + COLUMNS]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, range(0, flat.shape[1], COLUMNS)))
    return out
