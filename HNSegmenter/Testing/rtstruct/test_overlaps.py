"""Outlines that touch, repeat, cross or run over themselves: what is accepted, every reader fills alike;
the rest is refused."""

from __future__ import annotations

import numpy as np
import pytest

from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.evaluation.rasterise import read_contours
from HNSegmenterLib.rtstruct import complete, write
from HNSegmenterLib.rtstruct.tracing.overlaps import Crossing, arrange, own_areas
from HNSegmenterLib.rtstruct.tracing.planes import to_pixels
from Testing.rtstruct.help import (
    MODEL,
    contours,
    dcmrtstruct2nii_masks,
    drawing,
    make_ct,
    organs,
    plastimatch_masks,
    ring,
    saved,
    square,
)

K = 5  # the slice that is drawn on
ROWS, COLUMNS = 96, 96


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    return make_ct(tmp_path_factory.mktemp("ct") / "series", (24, ROWS, COLUMNS), (2.5, 2.5, 3.0))


def windings(outline: np.ndarray) -> np.ndarray:
    """int [row, column]: how often (n, 2) points (column, row) run round each pixel's centre,
    counted crossing by crossing."""
    row, column = np.indices((ROWS, COLUMNS))
    times = np.zeros((ROWS, COLUMNS), int)
    for (ax, ay), (bx, by) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        side = (bx - ax) * (row - ay) - (column - ax) * (by - ay)
        times += ((ay <= row) & (row < by) & (side > 0)).astype(int) - ((by <= row) & (row < ay) & (side < 0))
    return times


RULES = {
    "even-odd, all together": lambda times: sum(times) % 2 == 1,
    "nonzero, all together": lambda times: sum(times) != 0,
    "even-odd, one by one": lambda times: np.any([each % 2 == 1 for each in times], axis=0),
    "nonzero, one by one": lambda times: np.any([each != 0 for each in times], axis=0),
}


def as_read(dataset, ct, folder) -> dict[str, dict[str, np.ndarray]]:
    """ROI name -> who reads -> bool [row, column] of the slice: by every rule, and as independent programs fill it."""
    slice_ = ct.slices[K]
    write(dataset, folder / "rtstruct.dcm")
    programs = {program.__name__: program for program in (plastimatch_masks, dcmrtstruct2nii_masks)}
    masks = {
        name: program(folder / "rtstruct.dcm", slice_.path.parent, ct, folder / name)
        for name, program in programs.items()
    }
    masks["evaluate"] = read_contours(folder / "rtstruct.dcm", ct.image)
    found = {}
    for name, drawn in contours(dataset).items():
        assert {uid for uid, _ in drawn} == {slice_.sop_instance_uid}
        times = [windings(to_pixels(slice_, np.reshape(np.array(points, float), (-1, 3)))[0]) for _, points in drawn]
        found[name] = {rule: fill(times) for rule, fill in RULES.items()} | {
            who: mask[name][K] > 0 for who, mask in masks.items()
        }
    return found


def box(*corners) -> np.ndarray:
    """bool [row, column]: pixels from the first to the last corner (column, row), both rings' edges at halves."""
    (c0, r0), (c1, r1) = corners
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[int(r0 + 0.5) : int(r1 + 0.5), int(c0 + 0.5) : int(c1 + 0.5)] = True
    return mask


A, B = (19.5, 19.5), (39.5, 39.5)
WHOLE, HALF = box(A, B), box(A, (29.5, 39.5))
WITHIN = [(24.5, 24.5), (33.5, 31.5)]
WITHIN_CORNERS = [(24.5, 24.5), (33.5, 24.5), (33.5, 31.5), (24.5, 31.5)]
AT_EDGES = {  # rings that touch the outline A-B from within
    "left": [(19.5, 24.5), (29.5, 31.5)],
    "right": [(29.5, 24.5), (39.5, 31.5)],
    "top": [(24.5, 19.5), (31.5, 29.5)],
    "bottom": [(24.5, 29.5), (31.5, 39.5)],
    "first corner": [(19.5, 19.5), (25.5, 25.5)],
    "last corner": [(33.5, 33.5), (39.5, 39.5)],
}


def accepted():
    """name -> (rings of a CT, the pixels that they mean, what is said)."""
    hole, holes = "1 contour lies inside another", "2 contours lie inside another"
    again, twice = "1 contour repeats another", "2 contours repeat another"
    yield "one", lambda ct: [square(ct, K, A, B)], WHOLE, []
    yield "a ring in a ring", lambda ct: [square(ct, K, A, B), square(ct, K, *WITHIN)], WHOLE & ~box(*WITHIN), [hole]
    yield (
        "the inner one first",
        lambda ct: [square(ct, K, *WITHIN), square(ct, K, A, B)[::-1]],
        WHOLE & ~box(*WITHIN),
        [hole],
    )
    yield (
        "three deep",
        lambda ct: [square(ct, K, (27.5, 26.5), (29.5, 28.5)), square(ct, K, A, B), square(ct, K, *WITHIN)],
        WHOLE & ~box(*WITHIN) | box((27.5, 26.5), (29.5, 28.5)),
        [hole],
    )
    for side, at in AT_EDGES.items():
        yield (
            f"a hole that touches the {side}",
            lambda ct, at=at: [square(ct, K, A, B), square(ct, K, *at)],
            WHOLE & ~box(*at),
            [hole],
        )
    yield (
        "a hole that touches by a point",
        lambda ct: [square(ct, K, A, B), ring(ct, K, (19.5, 29.63), (29.31, 22.42), (36.57, 29.28), (29.44, 36.71))],
        None,
        [hole],
    )
    yield (
        "holes that touch",
        lambda ct: [
            square(ct, K, A, B),
            square(ct, K, (22.5, 24.5), (26.5, 31.5)),
            square(ct, K, (26.5, 26.5), (31.5, 36.5)),
        ],
        WHOLE & ~box((22.5, 24.5), (26.5, 31.5)) & ~box((26.5, 26.5), (31.5, 36.5)),
        [holes],
    )
    yield "side by side", lambda ct: [square(ct, K, A, (29.5, 39.5)), square(ct, K, (29.5, 19.5), B)], WHOLE, []
    yield (
        "side by side, other points on the common edge",
        lambda ct: [
            square(ct, K, A, (29.5, 39.5)),
            ring(ct, K, (29.502, 19.5), (39.5, 19.5), (39.5, 39.5), (29.498, 39.5), (29.499, 33.3), (29.502, 25.1)),
        ],
        WHOLE,
        [],
    )
    yield (
        "islands that touch by a corner",
        lambda ct: [square(ct, K, A, (29.5, 29.5)), square(ct, K, (29.5, 29.5), B)],
        None,
        [],
    )
    there, back = [*WITHIN_CORNERS, WITHIN_CORNERS[0]], [WITHIN_CORNERS[0], *WITHIN_CORNERS[::-1]]
    outside = [A, (39.5, 19.5), B, (19.5, 39.5)]
    for name, way, remark in (
        ("a keyhole", back, []),
        ("a keyhole whose hole runs as the outline does", there, [hole]),
    ):
        points = [*outside, (19.5, 24.5), (21, 24.5), *way, (21, 24.5), (19.5, 24.5)]
        for n in (0, 7):  # begun at the outline, or in the hole
            yield (
                f"{name}, from point {n}",
                lambda ct, p=points[n:] + points[:n]: [ring(ct, K, *p)],
                WHOLE & ~box(*WITHIN),
                remark,
            )
    yield (
        "a figure of eight",
        lambda ct: [ring(ct, K, (19.4, 19.3), (39.4, 39.3), (39.4, 19.3), (19.4, 39.3))],
        None,
        [],
    )
    yield "twice", lambda ct: [square(ct, K, A, B)] * 2, WHOLE, [again]
    yield "three times", lambda ct: [square(ct, K, A, B)] * 3, WHOLE, [twice]
    yield (
        "again from another point",
        lambda ct: [square(ct, K, A, B), np.roll(square(ct, K, A, B), 2, axis=0)],
        WHOLE,
        [again],
    )
    yield "again in the other direction", lambda ct: [square(ct, K, A, B), square(ct, K, A, B)[::-1]], WHOLE, [again]
    yield (
        "again, rounded otherwise",
        lambda ct: [square(ct, K, A, B), square(ct, K, A, B) + [0.009, -0.009, 0]],
        WHOLE,
        [again],
    )
    yield (
        "again with more points",
        lambda ct: [
            square(ct, K, A, B),
            ring(ct, K, A, (25.5, 19.5), (39.5, 19.5), B, (19.5, 39.5), (19.5, 39.5), (19.5, 30.5)),
        ],
        WHOLE,
        [again],
    )
    yield (
        "a hole twice",
        lambda ct: [square(ct, K, *WITHIN), square(ct, K, A, B), square(ct, K, *WITHIN)],
        WHOLE & ~box(*WITHIN),
        [again, hole],
    )


ACCEPTED = {f"Case_{n}": case for n, case in enumerate(accepted())}


@pytest.fixture(scope="module")
def read(ct, tmp_path_factory):
    drawn = drawing(*((name, rings(ct)) for name, (_, rings, _, _) in ACCEPTED.items()))
    return as_read(complete(drawn, ct, MODEL, organs()), ct, tmp_path_factory.mktemp("read"))


@pytest.mark.parametrize("case", ACCEPTED, ids=[case[0] for case in ACCEPTED.values()])
def test_every_reader_fills_the_same(case, read, ct):
    _, rings, pixels, said = ACCEPTED[case]
    warnings: list[str] = []
    complete(drawing((case, rings(ct))), ct, MODEL, organs(), warn=warnings.append)
    assert [sentence[: len(start)] for sentence, start in zip(warnings, said, strict=True)] == said
    meant = read[case]["even-odd, all together"] if pixels is None else pixels
    assert meant.any()
    assert {who: np.count_nonzero(mask ^ meant) for who, mask in read[case].items()} == dict.fromkeys(read[case], 0)


CROSS, OVER = "Contours of Eye_L cross on", "A contour of Eye_L runs over itself on"
TURN = np.linspace(0, 4 * np.pi, 80, endpoint=False)
REFUSED = {
    "corners in each other": (CROSS, lambda ct: [square(ct, K, A, B), square(ct, K, (30, 30), (50, 50))]),
    "bars, no point of one in the other": (
        CROSS,
        lambda ct: [square(ct, K, (10, 25), (50, 35)), square(ct, K, (25, 10), (35, 50))],
    ),
    "a hole that leaves its outline": (CROSS, lambda ct: [square(ct, K, A, B), square(ct, K, (30, 25), (41, 30))]),
    "a repeat that was moved": (CROSS, lambda ct: [square(ct, K, A, B), square(ct, K, A, B) + [0.4, 0, 0]]),
    "holes that cross": (
        CROSS,
        lambda ct: [square(ct, K, A, B), square(ct, K, (21, 21), (31, 31)), square(ct, K, (26, 26), (36, 36))],
    ),
    "over a figure of eight": (
        CROSS,
        lambda ct: [ring(ct, K, (20, 20), (40, 40), (40, 24), (20, 36)), square(ct, K, (36, 20), (45, 44))],
    ),
    "twice round in one outline": (OVER, lambda ct: [np.concatenate([square(ct, K, A, B)] * 2)]),
    "a loop in the loop": (
        OVER,
        lambda ct: [
            ring(ct, K, *np.column_stack([(9 + 6 * np.cos(TURN / 2)) * f(TURN) + 40 for f in (np.cos, np.sin)])),
        ],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_readers_would_fill_differently_is_refused_with_its_place(case, ct):
    sentence, rings = REFUSED[case]
    slice_ = ct.slices[K]
    with pytest.raises(UnusableInput) as refusal:
        complete(drawing(("GTVp", [square(ct, K)]), ("Eye_L", rings(ct))), ct, MODEL, organs())
    assert refusal.value.sentence.startswith(
        f"{sentence} slice {slice_.sop_instance_uid} (z {slice_.position[2]:.1f} mm)"
    )
    assert refusal.value.sentence.endswith("them there.") or refusal.value.sentence.endswith("it there.")


def test_outlines_that_undo_each_other_by_their_type_are_not_taken_for_repeats(ct, tmp_path):
    nested = drawing(("Eye_L", [square(ct, K, A, B), square(ct, K, *WITHIN)]), kind="CLOSEDPLANAR_XOR")
    found = as_read(complete(nested, ct, MODEL, organs()), ct, tmp_path)["Eye_L"]
    assert all(np.array_equal(mask, WHOLE & ~box(*WITHIN)) for mask in found.values())
    same = drawing(("Eye_L", [square(ct, K, A, B), square(ct, K, A, B)[::-1]]), kind="CLOSEDPLANAR_XOR")
    with pytest.raises(
        UnusableInput, match=r"Two contours of Eye_L are the same on slice .* CLOSEDPLANAR_XOR, they undo each other"
    ):
        complete(same, ct, MODEL, organs())


def test_evaluate_counts_a_repeat_once_and_refuses_what_crosses(ct, tmp_path):
    twice = drawing(("Eye_L", [square(ct, K, A, B), square(ct, K, A, B)[::-1], square(ct, K, *WITHIN)]))
    assert np.array_equal(
        read_contours(saved(twice, tmp_path / "twice.dcm"), ct.image)["Eye_L"][K], WHOLE & ~box(*WITHIN)
    )
    crossing = drawing(("Eye_L", [square(ct, K, A, B), square(ct, K, (30, 30), (50, 50))]))
    with pytest.raises(UnusableInput, match="does not fit the CT: contours of one ROI cross"):
        read_contours(saved(crossing, tmp_path / "crossing.dcm"), ct.image)


def test_other_slices_and_other_organs_may_hold_the_same(ct):
    warnings: list[str] = []
    rings = [square(ct, k, A, B) for k in (4, 5, 6)]
    complete(drawing(("Eye_L", rings), ("GTVp", rings)), ct, MODEL, organs(), warn=warnings.append)
    assert warnings == []


def test_areas_are_those_that_are_counted_on_a_fine_raster():
    """Polygons at random, most of which cross themselves and each other."""
    random = np.random.default_rng(3)
    refused = 0
    for _ in range(40):
        rings = [random.uniform(5, 90, (points, 2)) for points in (4, 7)]
        times = [windings(each) for each in rings]
        filled, disputed = own_areas(rings)
        for area, twice, each in zip(filled, disputed, times, strict=True):
            assert area == pytest.approx(np.count_nonzero(each), abs=60)
            assert twice == pytest.approx(np.count_nonzero(each) - np.count_nonzero(each % 2), abs=40)
        common = np.count_nonzero(times[0].astype(bool) & times[1].astype(bool))
        alone = [np.count_nonzero(each) - common for each in times]
        try:
            arrange(rings, filled)
            assert min(common, *alone) <= 30
        except Crossing:
            refused += 1
            assert min(common, *alone) > 0
    assert 20 < refused < 40
