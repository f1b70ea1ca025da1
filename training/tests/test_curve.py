"""The learning curve, on the made-up patients of adapting."""

import json

import pytest

from hn_training import config
from hn_training.adapt import curve, whole


def test_the_learning_curve_scores_every_patient_after_fewer_and_after_more(chosen, model, tmp_path, monkeypatch):
    taught = {}
    patches = whole.Adaptation.patches
    monkeypatch.setattr(
        whole.Adaptation,
        "patches",
        lambda self, names, config: taught.setdefault(len(taught), list(names)) and patches(self, names, config),
    )
    table = curve.curve(model, chosen, tmp_path / "out", 2, [1, 2])
    compared = json.loads((tmp_path / "out" / "curve.json").read_text())
    names = {f"case_{n}" for n in range(1, 5)}
    assert set(compared["before"]) == set(compared["after"]["1"]) == set(compared["after"]["2"]) == names
    (_, *runs) = taught.values()  # the first measures the norms
    assert [len(one) for one in runs] == [1, 2, 1, 2] and set(runs[0]) < set(runs[1])
    for number in (1, 2):
        tested = set(json.loads((tmp_path / "out" / f"fold_{number}_of_2" / "scores.json").read_text()))
        assert len(tested) == 2 and tested.isdisjoint(runs[2 * number - 1])
    assert "| Brainstem | 4 |" in table.read_text() and "2 taught" in table.read_text()
    with pytest.raises(config.ConfigError, match="from 1 to 2 can teach"):
        curve.curve(model, chosen, tmp_path / "other", 2, [3])
