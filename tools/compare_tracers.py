"""Compares contour tracers on six organs at planning size; the table is in docs/rtstruct.md.

    pip install contourpy scikit-image opencv-python-headless vtk
    python tools/compare_tracers.py [label.nii.gz]

Without a file the organs are made up (ellipsoids with a rough surface, one hollow), 512 x 512 x 130. With one, every
label above 0 is an organ. Each slice is traced, rounded to 0.01 mm, and rasterised again by scikit-image (pixel
centres, even-odd); Dice is the worst of the organs, "exact" says how many slices came back voxel by voxel.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from skimage.draw import polygon2mask

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "HNSegmenter"))
SPACING_MM = 0.9765625
Rings = list[np.ndarray]  # (n, 2) column, row; not closed


def contourpy_rings(mask: np.ndarray) -> Rings:
    """What the project uses: marching squares, holes grouped and joined by keyholes."""
    from HNSegmenterLib.rtstruct.tracing.contours import _rings

    return list(_rings(mask))


def skimage_rings(mask: np.ndarray) -> Rings:
    """Marching squares; every ring by itself, holes told by their winding only."""
    from skimage.measure import find_contours

    return [ring[:-1, ::-1] - 1 for ring in find_contours(np.pad(mask, 1).astype(float), 0.5)]


def opencv_rings(mask: np.ndarray) -> Rings:
    """Suzuki's border following: the points are the outermost pixels' centres, not their edges."""
    import cv2

    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [ring[:, 0].astype(float) for ring in found if len(ring) > 2]


def vtk_rings(mask: np.ndarray) -> Rings:
    """Flying edges in the plane, then a stripper that links the lines; rings only."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    padded = np.pad(mask, 1).astype(np.float32)
    image = vtk.vtkImageData()
    image.SetDimensions(padded.shape[1], padded.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(padded.ravel(), deep=True))
    edges = vtk.vtkFlyingEdges2D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.5)
    strips = vtk.vtkStripper()
    strips.SetInputConnection(edges.GetOutputPort())
    strips.JoinContiguousSegmentsOn()
    strips.SetMaximumLength(100_000)
    strips.Update()
    output = strips.GetOutput()
    points = vtk_to_numpy(output.GetPoints().GetData())[:, :2].astype(float) - 1
    return [
        points[[line.GetPointId(n) for n in range(line.GetNumberOfPoints() - 1)]]
        for line in map(output.GetCell, range(output.GetNumberOfCells()))
    ]


def own_rings(mask: np.ndarray) -> Rings:
    """Marching squares in NumPy, linked in Python: no dependency, rings only."""
    padded = np.pad(mask, 1).astype(int)
    code = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, 1:] + 8 * padded[1:, :-1]
    # Ends of the directed pieces in each of the 16 cells, as (row, column) in halves of a pixel:
    # top, right, bottom, left.
    top, right, bottom, left = (0, 1), (1, 2), (2, 1), (1, 0)
    pieces = {
        1: [(left, top)],
        2: [(top, right)],
        3: [(left, right)],
        4: [(right, bottom)],
        5: [(left, top), (right, bottom)],
        6: [(top, bottom)],
        7: [(left, bottom)],
        8: [(bottom, left)],
        9: [(bottom, top)],
        10: [(top, right), (bottom, left)],
        11: [(bottom, right)],
        12: [(right, left)],
        13: [(right, top)],
        14: [(top, left)],
    }
    following: dict[tuple[int, ...], tuple[int, ...]] = {}
    for value, lines in pieces.items():
        cells = 2 * np.argwhere(code == value)
        for start, end in lines:
            following.update(zip(map(tuple, (cells + start).tolist()), map(tuple, (cells + end).tolist()), strict=True))
    rings = []
    while following:
        first, point = following.popitem()
        ring = [first]
        while point != first:
            ring.append(point)
            point = following.pop(point)
        rings.append(np.array(ring, float)[:, ::-1] / 2 - 1)
    return rings


TRACERS: dict[str, Callable[[np.ndarray], Rings]] = {
    "contourpy": contourpy_rings,
    "scikit-image": skimage_rings,
    "OpenCV": opencv_rings,
    "VTK": vtk_rings,
    "own, NumPy": own_rings,
}


def made_up() -> np.ndarray:
    """Labels 1-6, uint8 (130, 512, 512)."""
    labels = np.zeros((130, 512, 512), np.uint8)
    random = np.random.default_rng(0)
    shapes = [
        ((70, 270, 256), (24, 20, 18)),
        ((30, 290, 256), (30, 8, 8)),
        ((55, 260, 340), (22, 36, 22)),
        ((55, 260, 172), (22, 36, 22)),
    ]
    shapes += [((95, 160, 290), (10, 13, 13)), ((95, 160, 222), (10, 13, 13))]
    for label, (centre, radii) in enumerate(shapes, start=1):
        box = tuple(slice(c - r - 3, c + r + 4) for c, r in zip(centre, radii, strict=True))
        grid = np.indices(labels[box].shape)
        away = np.sum([((axis - r - 3) / r) ** 2 for axis, r in zip(grid, radii, strict=True)], axis=0)
        organ = away + random.normal(0, 0.08, away.shape) < 1
        if label == 1:
            organ &= away > 0.1
        labels[box][organ] = label
    return labels


def measure(trace: Callable[[np.ndarray], Rings], labels: np.ndarray) -> tuple[float, float, float, int, float]:
    """(worst Dice, share of slices exact, points per contour, contours, seconds)."""
    seconds, points, contours, exact, slices, worst = 0.0, 0, 0, 0, 0, 1.0
    for label in np.unique(labels[labels > 0]):
        common = total = 0
        for mask in labels == label:
            if not mask.any():
                continue
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            start = time.perf_counter()
            rings = trace(crop)
            seconds += time.perf_counter() - start
            back = np.zeros_like(crop)
            for ring in rings:
                rounded = np.round(ring * SPACING_MM, 2) / SPACING_MM
                back ^= polygon2mask(crop.shape, rounded[:, ::-1])
            contours += len(rings)
            points += sum(map(len, rings))
            slices += 1
            exact += np.array_equal(back, crop)
            common += int(np.count_nonzero(back & crop))
            total += int(np.count_nonzero(back) + np.count_nonzero(crop))
        worst = min(worst, 2 * common / total)
    return worst, exact / slices, points / contours, contours, seconds


def main() -> None:
    if len(sys.argv) > 1:
        import SimpleITK as sitk

        labels = sitk.GetArrayFromImage(sitk.ReadImage(sys.argv[1])).astype(np.uint8)
    else:
        labels = made_up()
    print(f"{'tracer':14}{'worst Dice':>12}{'exact':>8}{'points/contour':>16}{'contours':>10}{'seconds':>9}")
    for name, trace in TRACERS.items():
        try:
            trace(np.eye(3, dtype=bool))
        except ImportError as error:
            print(f"{name:14} not installed ({error.name})")
            continue
        dice, exact, points, contours, seconds = measure(trace, labels)
        print(f"{name:14}{dice:12.4f}{exact:8.1%}{points:16.1f}{contours:10d}{seconds:9.2f}")


if __name__ == "__main__":
    main()
