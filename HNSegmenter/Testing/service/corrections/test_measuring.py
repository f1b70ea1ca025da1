"""What became of an organ between the network and the approval."""

from __future__ import annotations

import numpy as np
import pytest

from HNSegmenterLib.service.corrections.measuring import Approved, Drawn, change_of, corrections

SPACING = (1.0, 2.0, 3.0)


def box(*low, size=(10, 10, 10)) -> np.ndarray:
    mask = np.zeros((40, 40, 40), bool)
    mask[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = True
    return mask


def one(drawn, approved, algorithm="AUTOMATIC", found=True):
    known = {} if approved is None else {"Brain": Approved(algorithm, approved)}
    return corrections({"Brain": Drawn("net 1", found, drawn)}, known, SPACING)


def test_the_same_voxels_are_untouched_whatever_is_stated():
    for algorithm in ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL", ""):
        (found,) = one(box(5, 5, 5), box(5, 5, 5), algorithm)
        assert (found.change, found.dice, found.volume_change_percent, found.largest_mm) == ("untouched", 1.0, 0.0, 0.0)


def test_figures_of_an_edit():
    """Three slices more, of 3 mm each."""
    (found,) = one(box(5, 5, 5), box(5, 5, 5, size=(13, 10, 10)), "SEMIAUTOMATIC")
    assert found.change == "edited"
    assert found.dice == pytest.approx(2 * 10 / 23, abs=1e-4)
    assert found.volume_change_percent == pytest.approx(30)
    assert found.largest_mm == pytest.approx(9)


def test_added_removed_and_never_there():
    assert [found.change for found in one(None, box(5, 5, 5), found=False)] == ["added"]
    assert [found.change for found in one(box(5, 5, 5), None)] == ["removed"]
    assert [found.change for found in one(box(5, 5, 5), np.zeros((40, 40, 40), bool))] == ["removed"]
    assert one(None, None, found=False) == []


def test_without_a_labelmap_the_statement_counts():
    assert [found.change for found in one(None, box(5, 5, 5), "SEMIAUTOMATIC")] == ["edited"]
    (found,) = one(None, box(5, 5, 5))
    assert (found.change, found.dice) == ("untouched", None)


@pytest.mark.parametrize(
    ("dice", "algorithm", "change"),
    [
        (0.995, "AUTOMATIC", "untouched"),  # another program's outlines of the same voxels
        (0.985, "AUTOMATIC", "edited"),  # edited by a program that did not say so
        (0.995, "SEMIAUTOMATIC", "edited"),
        (0.995, "", "edited"),
    ],
)
def test_what_is_stated_and_what_differs(dice, algorithm, change):
    assert change_of(dice, algorithm) == change
