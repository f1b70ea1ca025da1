"""Whether to take an adapted model."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hn_training.adapt import advice


def scores(**organs):
    """By patient and organ; organs: the Dice of each patient."""
    count = max(len(values) for values in organs.values())
    return {
        f"pt_{n}": {organ: {"dice": values[n]} for organ, values in organs.items() if n < len(values)}
        for n in range(count)
    }


OLD = [0.80, 0.82, 0.78, 0.81, 0.79, 0.80, 0.83, 0.77]


@pytest.mark.parametrize(
    ("gained", "said"),
    [
        ([0.05, 0.06, 0.04, 0.05, 0.07, 0.05, 0.04, 0.06], "take the new model"),
        ([-0.05, -0.06, -0.04, -0.05, -0.07, -0.05, -0.04, -0.06], "keep the old model"),
        ([0.05, -0.03, 0.06, -0.02, 0.04, 0.05, -0.04, 0.01], "looks better, but may be chance: about"),
        ([-0.05, 0.03, -0.06, 0.02, -0.04, -0.05, 0.04, -0.01], "looks worse, but may be chance: about"),
        ([0.001, -0.001, 0.002, 0.001, 0.0, -0.002, 0.001, 0.001], "either will do"),
        ([0.30, -0.29, 0.31, -0.31, 0.28, -0.30, 0.30, -0.28], "more patients would hardly show one"),
        ([0.05, 0.05, 0.05], "looks better, but may be chance: about 1 more"),
        ([0.05], "about 3 more patients"),
    ],
)
def test_the_advice_follows_the_pairs(gained, said):
    old = OLD[: len(gained)]
    new = [one + more for one, more in zip(old, gained, strict=True)]
    (found,) = advice.gains(scores(Brainstem=old), scores(Brainstem=new))
    assert found.sentence.startswith(said) or said in found.sentence
    assert found.mean == pytest.approx(sum(gained) / len(gained))


def test_more_patients_make_the_same_gain_clear():
    """As many as it asked for, alike."""
    gained = [0.05, -0.03, 0.06, -0.02, 0.04, 0.05, -0.04, 0.01]
    few = advice.Gain("Brainstem", tuple(gained))
    assert not few.clear
    times = 1 + -(-few.more // len(gained))
    assert advice.Gain("Brainstem", tuple(gained * times)).clear


def test_organs_apart_in_plain_words():
    better, worse = [one + 0.05 for one in OLD], [one - 0.05 for one in OLD]
    better[0], worse[0] = better[0] + 0.01, worse[0] - 0.01
    found = advice.gains(
        scores(Parotid_L=OLD, Eye_L=OLD, SpinalCord=OLD), scores(Parotid_L=better, Eye_L=worse, Brainstem=OLD)
    )
    assert [gain.organ for gain in found] == ["Parotid_L", "Eye_L"], "only what both have"
    lines = advice.markdown(found, crossed=True)
    assert lines[2] == "Take the new model for Parotid_L; keep the old one for Eye_L."
    assert "--folds" in "\n".join(advice.markdown(found, crossed=False))
    assert advice.markdown(found[:0], crossed=True)[2] == "Nothing is clear yet, keep the old model."
