"""`preprocessing` and `output` of an nnU-Net's model.json."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from math import isfinite
from typing import TypeVar

AXES = ("LPS", "RAS")
OUTPUTS = ("labels", "regions")
IMAGE_ORDERS, LOGITS_ORDERS = (0, 1, 3), (0, 1)
Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Rules:
    """How an nnU-Net sees the CT. Triples are in transposed order.

    axes: canonical axes of the training images; transpose: transpose_forward of its plans, on arrays [z, y, x];
    hu_clip, hu_shift, hu_scale: percentiles 0.5 and 99.5, mean and deviation of its CTNormalization; image_order,
    logits_order: of the interpolation, their _z across the slices where these are apart; separate_z: whether they are,
    None: where the spacing along one axis is more than `anisotropy` times that along another; step: share of the patch
    from one to the next; mirror_axes: those along which the patch is mirrored as well, () without mirroring; regions:
    channels are regions that may overlap, not labels that exclude each other.
    """

    axes: str
    transpose: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    patch: tuple[int, int, int]
    hu_clip: tuple[float, float]
    hu_shift: float
    hu_scale: float
    image_order: int
    image_order_z: int
    logits_order: int
    logits_order_z: int
    separate_z: bool | None
    anisotropy: float
    step: float
    mirror_axes: tuple[int, ...]
    regions: bool

    @property
    def mirrorings(self) -> list[tuple[int, ...]]:
        """The axes of each mirroring, beginning with none."""
        return [axes for n in range(len(self.mirror_axes) + 1) for axes in combinations(self.mirror_axes, n)]


def parse(about: dict) -> Rules:
    """The rules in model.json. Raises KeyError, TypeError or ValueError for what is missing or makes no sense."""
    entry = about["preprocessing"]
    lowest, highest = _numbers(entry["hu_clip"], "hu_clip", 2)
    patch = _triple(map(_whole, entry["patch"]), "patch")
    spacing = _triple(_numbers(entry["spacing_mm"], "spacing_mm", 3), "spacing_mm")
    (step,) = _numbers([entry["step"]], "step", 1)
    transpose = _triple(map(_whole, entry["transpose"]), "transpose")
    mirror_axes = tuple(_whole(axis) for axis in entry["mirror_axes"] or ())
    _need(entry["axes"] in AXES, f"axes {entry['axes']!r} instead of 'LPS' or 'RAS'")
    _need(about["output"] in OUTPUTS, f"output {about['output']!r} instead of 'labels' or 'regions'")
    _need(sorted(transpose) == [0, 1, 2], f"transpose {list(transpose)} is no order of 0, 1 and 2")
    _need(min(patch) > 0 and min(spacing) > 0, "patch and spacing_mm must be above 0")
    _need(0 < step <= 1, f"step {step} is not above 0 and at most 1")
    _need(lowest < highest, "hu_clip does not rise")
    _need(set(mirror_axes) <= {0, 1, 2} and len(set(mirror_axes)) == len(mirror_axes), "mirror_axes are not 0, 1 or 2")
    _need(entry["separate_z"] in (None, True, False), "separate_z is neither null, true nor false")
    _need(isinstance(entry["mirroring"], bool), "mirroring is neither true nor false")
    (shift,), (scale,), (anisotropy,) = (_numbers([entry[k]], k, 1) for k in ("hu_shift", "hu_scale", "anisotropy"))
    return Rules(
        entry["axes"], transpose, spacing, patch, (lowest, highest), shift, scale,
        _order(entry, "image_order", IMAGE_ORDERS), _order(entry, "image_order_z", IMAGE_ORDERS),
        _order(entry, "logits_order", LOGITS_ORDERS), _order(entry, "logits_order_z", LOGITS_ORDERS),
        entry["separate_z"], anisotropy, step, mirror_axes if entry["mirroring"] else (), about["output"] == "regions",
    )  # fmt: skip


def check_channel(channel: int | None, rules: Rules) -> None:
    """Raises ValueError for a channel that no organ can have."""
    _need(channel != 0 or rules.regions, f"channel {channel} of an organ is no label (0 is the background)")


def _need(right: bool, otherwise: str) -> None:
    if not right:
        raise ValueError(otherwise)


def _numbers(values: Iterable, name: str, count: int) -> list[float]:
    numbers = [float(value) for value in values]
    _need(len(numbers) == count and all(map(isfinite, numbers)), f"{name} is not {count} numbers")
    return numbers


def _triple(values: Iterable[Number], name: str) -> tuple[Number, Number, Number]:
    three = tuple(values)
    _need(len(three) == 3, f"{name} is not 3 numbers")
    return three[0], three[1], three[2]


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no whole number")
    return value


def _order(entry: dict, name: str, known: tuple[int, ...]) -> int:
    order = _whole(entry[name])
    _need(order in known, f"{name} is {order}, this program knows {', '.join(map(str, known))}")
    return order
