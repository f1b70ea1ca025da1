"""The shortcuts from the patches' logits to labels give what the exhaustive way gives, in bounded memory."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, zoom

from hn_network.contract import Clock
from hn_network.network import Network
from hn_network.nnunet import method, rules, window
from hn_network.nnunet.labels import Axis, Drawing, Labels, Regions
from hn_network.nnunet.rows import Rows, longest_axis
from hn_network.nnunet.spline import matrix
from Testing.container.nnunets import PREPROCESSING
from Testing.container.phantoms import band_network

CLASSES = 20


def logits_of(shape, blur: float, seed: int = 0) -> np.ndarray:
    """Random; blurred, they are as smooth as a network's, and every class is the largest somewhere."""
    noise = np.random.default_rng(seed).normal(size=(CLASSES, *shape))
    return np.array([gaussian_filter(channel, blur) / blur**-1.5 for channel in noise]).astype(np.float32)


def exhaustive(logits: np.ndarray, fine, orders) -> np.ndarray:
    """Every class at every fine voxel (float64)."""
    out = logits.astype(float)
    for axis, (n, order) in enumerate(zip(fine, orders)):
        out = np.moveaxis(np.tensordot(matrix(n, out.shape[axis + 1], order), out, axes=(1, axis + 1)), 0, axis + 1)
    return out


def drawn_in_rows(target, logits: np.ndarray, fine, orders, along: int, stops) -> Drawing:
    """Draw rows as they come, each time from the row that was needed."""
    axes = [Axis.of(n, coarse, order) for n, coarse, order in zip(fine, logits.shape[1:], orders)]
    drawing, first = Drawing(target, axes, along, 2), 0
    for stop in (*stops, logits.shape[along + 1]):
        part = [slice(None)] * 4
        part[along + 1] = slice(first, stop)
        first = drawing.rows(logits[tuple(part)], first)
    return drawing


SHAPES = {
    "finer": ((30, 26, 34), (61, 70, 83), (1, 1, 1)),
    "much finer": ((12, 9, 11), (90, 80, 85), (1, 1, 1)),
    "coarser": ((61, 50, 47), (20, 33, 12), (1, 1, 1)),
    "both, and one as it is": ((30, 40, 34), (61, 25, 34), (1, 1, 1)),
    "apart": ((40, 26, 34), (17, 70, 53), (0, 1, 1)),
    "apart, finer": ((15, 26, 34), (37, 70, 53), (0, 1, 1)),
    "one layer": ((1, 26, 34), (3, 26, 70), (1, 1, 1)),
}


@pytest.mark.parametrize("blur", [0.0001, 2.0])
@pytest.mark.parametrize("along", [0, 1, 2])
@pytest.mark.parametrize("case", SHAPES)
def test_labels_as_by_looking_at_every_class(case, along, blur):
    shape, fine, orders = SHAPES[case]
    logits = logits_of(shape, blur)
    labels = Labels(np.zeros(fine, np.uint8))
    n = shape[along]
    drawing = drawn_in_rows(
        labels, logits, fine, orders, along, sorted({max(1, n // 3), max(1, n // 2), max(1, n - 1)})
    )
    at_every = exhaustive(logits, fine, orders)
    expected = at_every.argmax(axis=0)
    wrong = np.argwhere(labels.voxels != expected)
    for place in wrong:  # but where float32 cannot tell the two largest apart
        first, second = np.sort(at_every[(slice(None), *place)])[:-3:-1]
        assert first - second < 1e-5 * max(1, abs(first)), place
    assert len(wrong) <= 1e-3 * expected.size
    for channel in range(CLASSES):
        inside = expected == channel
        assert (channel in drawing.boxes) == inside.any()
        if inside.any():
            assert np.count_nonzero(inside[drawing.boxes[channel]]) == np.count_nonzero(inside)


@pytest.mark.parametrize("case", SHAPES)
def test_regions_as_by_looking_at_every_voxel(case):
    shape, fine, orders = SHAPES[case]
    logits = logits_of(shape, 2.0) - np.float32(0.2)
    regions = Regions([np.zeros(fine, np.uint8) for _ in range(3)], range(100, 100 + CLASSES))
    drawing = drawn_in_rows(regions, logits, fine, orders, 1, [shape[1] // 2])
    expected = exhaustive(logits, fine, orders) > 0
    everywhere = tuple(slice(0, n) for n in fine)
    for number in range(CLASSES):
        assert np.count_nonzero(regions.mask(100 + number, everywhere) != expected[number]) <= 2
        if expected[number].any():
            box = drawing.boxes[100 + number]
            assert np.count_nonzero(expected[number][box]) == np.count_nonzero(expected[number])


def test_a_tie_goes_to_the_first_class():
    logits = np.zeros((3, 4, 4, 4), np.float32)
    logits[1:] = 1
    labels = Labels(np.zeros((9, 9, 9), np.uint8))
    drawn_in_rows(labels, logits, (9, 9, 9), (1, 1, 1), 0, [])
    assert (labels.voxels == 1).all()


@pytest.mark.parametrize(("size", "out"), [(1, 3), (2, 7), (9, 40), (40, 9), (53, 61), (200, 133)])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_matrices_are_scipys_zoom(size, out, order):
    values = np.random.default_rng(3).normal(size=size)
    expected = zoom(values, out / size, order=order, mode="nearest", grid_mode=True)
    assert np.abs(matrix(out, size, order) @ values - expected).max() < 1e-6


@pytest.mark.parametrize("shape", [(50, 40, 33), (33, 50, 40), (24, 40, 61), (24, 32, 16)])
@pytest.mark.parametrize("most", [1 << 30, 0])
def test_rows_blend_like_the_whole(shape, most, monkeypatch):
    """Handed out row after row, sums are those over the whole image; in half precision nearly."""
    monkeypatch.setattr("hn_network.nnunet.rows.MOST_FLOAT32_BYTES", most)
    patch, random = (24, 32, 16), np.random.default_rng(4)
    weights, along = window.gaussian(patch), longest_axis(shape, patch)
    boxes = window.boxes(shape, patch, 0.5, along)
    rows, total, counted = Rows(3, shape, boxes, weights, along, 2), np.zeros((3, *shape)), np.zeros(shape)
    parts = []
    for number, box in enumerate(boxes):
        answer = random.normal(size=(3, *patch)).astype(np.float32)
        total[(slice(None), *box)] += answer * weights
        counted[box] += weights
        for share in (0.25, 0.75):
            rows.add(list(answer), box, share)
        last = number + 1 == len(boxes)
        stop = shape[along] if last else boxes[number + 1][along].start
        if stop > box[along].start:
            parts.append(rows.finished(stop).astype(float))
            if not last:
                rows.forget(stop)
    blended = np.concatenate(parts, axis=along + 1)
    assert rows.logits.dtype == (np.float32 if most else np.float16)
    assert np.abs(blended - total / counted).max() < (1e-5 if most else 2e-2)


def test_every_voxel_is_in_a_patch():
    for shape, step in product(((64, 65, 200), (110, 127, 129)), (0.5, 0.3, 1.0)):
        seen = np.zeros(shape, bool)
        for box in window.boxes(shape, (64, 48, 32), step, 2):
            seen[box] = True
        assert seen.all()


def test_memory_stays_below_the_classes_times_the_volume():
    """Sixty classes on a long image: less than a third of what all logits would take, in float16 even."""
    import hn_network.nnunet.rows as module

    classes, shape, patch = 60, (300, 64, 64), (32, 32, 32)
    values = [-300 + 14.0 * n for n in range(classes - 1)]
    network = Network(band_network(values, softmax=False).SerializeToString(), 1, patch)
    described = {"preprocessing": {**PREPROCESSING, "patch": patch}, "output": "labels"}
    image = np.broadcast_to(np.linspace(-0.8, 0.95, shape[0], dtype=np.float32)[:, None, None], shape)
    labels = Labels(np.zeros(shape, np.uint8))
    axes = [Axis.of(n, n, 1) for n in shape]
    clock = Clock()
    clock.start("network")
    tracemalloc.start()
    found = method._predict(image, axes, labels, range(classes), rules.parse(described), network, clock)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) > 30
    assert peak < classes * np.prod(shape) * 4 / 3 < module.MOST_FLOAT32_BYTES
