"""Adaptation to better contours: on made-up patients, contoured by two hands, one of them finer than the CT."""

import dataclasses
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from adapting import AFFINE, ball, save, write_toml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from hn_training import config, grid
from hn_training.__main__ import main
from hn_training.adapt import ceiling, hands, measures, prepare, run, settings, whole
from hn_training.data import patients
from hn_training.fitting import loop
from hn_training.packing import export

ROOT = Path(__file__).resolve().parents[1]
BRAINSTEM, CORD = 1, 2


def test_the_shipped_settings_can_be_read():
    assert settings.load(ROOT / "adapt.toml").old.unknown == ("SpinalCord", "Parotid_L", "Parotid_R")


def test_only_those_teach_who_shall(chosen, model, tmp_path):
    def taught_by(*who: str) -> set[str]:
        alone = dataclasses.replace(chosen, patients=dataclasses.replace(chosen.patients, teach=who))
        prepared = settings.training_config(alone, model, tmp_path / "out")
        found = prepare.volumes(alone, prepared, hands.cases(alone.patients))
        return {folder.name for folders in found.values() for folder in folders if folder.name.startswith("case_1")}

    assert taught_by() == {"case_1.a", "case_1.b"} and taught_by("b") == {"case_1.b"}
    with pytest.raises(config.ConfigError, match="case_1 has no contours by c or d, who alone teach"):
        taught_by("c", "d")


def test_fine_contours_are_used_where_they_lie(chosen):
    case = hands.cases(chosen.patients)[1]
    assert (
        list(case.fine) == ["a", "b"] and case.fine["a"].name == "a_fine.nii.gz" and case.coarse["a"].name == "a.nii.gz"
    )
    patient = hands.read(case, "a", chosen.patients)
    assert (patient.labels == ball(20)).all() and patient.drawn == {BRAINSTEM}
    mapping = grid.body_mapping(patient.image, patient.spacing, (2, 2, 2.5))
    inside = hands.finest(case, "a", chosen.patients)(BRAINSTEM, mapping)
    z, y, x = (mapping.to_ct(axis) * mm for axis, mm in enumerate((3, 4, 4)))
    true = (z[:, None, None] - 36) ** 2 + (y[:, None] - 64) ** 2 + (x - 64) ** 2 < 400
    assert measures.dice(inside, true) > 0.97
    assert (
        measures.dice(grid.sample(patient.labels == 1, [mapping.to_ct(axis) for axis in range(3)]) >= 0.5, true) < 0.97
    )


def test_contours_are_found_whatever_their_file_s_axes(chosen):
    case = hands.cases(chosen.patients)[1]
    expected = hands.contours(case.fine["a"], case.image)
    file = nib.load(case.fine["a"])
    nib.save(file.as_reoriented(np.array([[1, 1], [2, -1], [0, 1]])), case.fine["a"])
    hands.contours.cache_clear()
    turned = hands.contours(case.fine["a"], case.image)
    assert np.array_equal(turned.values, expected.values)
    assert np.allclose(turned.scale, expected.scale) and np.allclose(turned.shift, expected.shift)


def test_oblique_contours_a_missing_ct_and_a_missing_hand_are_refused(chosen):
    folder = Path(chosen.patients.folder) / "case_2"
    with pytest.raises(config.ConfigError, match=r"lacks c\.nii\.gz"):
        hands.cases(dataclasses.replace(chosen.patients, hands=("c", "a")))
    tilted = AFFINE.copy()
    tilted[1, 2] = 0.3
    save(ball(20).astype(np.uint8), folder / "a.nii.gz", tilted)
    with pytest.raises(config.ConfigError, match="does not lie along the axes"):
        hands.read(hands.cases(chosen.patients)[1], "a", chosen.patients)
    (folder / "data.nii.gz").unlink()
    with pytest.raises(config.ConfigError, match=r"no data\.nii\.gz"):
        hands.cases(chosen.patients)
    with pytest.raises(config.ConfigError, match="holds no folder with contours"):
        hands.cases(dataclasses.replace(chosen.patients, folder=str(folder / "none")))


def test_a_value_that_nobody_drew_and_a_broken_file_are_refused(chosen, model, tmp_path):
    """A wrong value would teach that the organ is nowhere."""
    wrong = dataclasses.replace(
        chosen, patients=dataclasses.replace(chosen.patients, labels={"Brainstem": 3, "SpinalCord": 7})
    )
    with pytest.raises(config.ConfigError, match="SpinalCord = 7: no patient's contours by a"):
        whole.adapt(model, wrong, tmp_path / "out", 0, "made-up patients")
    assert not (tmp_path / "out").exists()
    broken = hands.cases(chosen.patients)[1]
    broken.coarse["a"].write_bytes(broken.coarse["a"].read_bytes()[:200])
    with pytest.raises(config.ConfigError, match=r"case_2/a\.nii\.gz cannot be read"):
        hands.read(broken, "a", chosen.patients)
    nib.save(nib.GiftiImage(), tmp_path / "surface.gii")
    with pytest.raises(config.ConfigError, match=r"surface\.gii cannot be read as a NIfTI volume"):
        hands.volume(tmp_path / "surface.gii")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(config.ConfigError, match="cannot be read as JSON"):
        hands.index_entry(str(tmp_path / "index.json"), broken)


def test_what_contradicts_the_better_contours_is_unknown(chosen):
    data = prepare.old_data(chosen.old)
    patient = patients.read(
        patients.folders(chosen.old.folder)[0],
        dataclasses.replace(data, labels={"Brainstem": 1, "SpinalCord": 2}, index=""),
    )
    patient = dataclasses.replace(patient, drawn=frozenset({BRAINSTEM, CORD}))
    doubted = prepare.doubted(patient, chosen.old)
    assert doubted.drawn == {BRAINSTEM}
    drawn = np.flatnonzero((patient.labels == BRAINSTEM).any(axis=(1, 2)))
    unsure = [drawn[0] - 1, drawn[0], drawn[0] + 1, drawn[-1] - 1, drawn[-1], drawn[-1] + 1]  # 4 mm of 3 mm slices
    assert sorted(doubted.unsound[BRAINSTEM]) == unsure


def test_old_patients_that_came_back_with_better_contours_do_not_teach_the_old_ones(chosen, model, tmp_path):
    prepared = settings.training_config(chosen, model, tmp_path / "out")
    cases = hands.cases(chosen.patients)
    assert [folder.name for folder in prepare.old_volumes(chosen, prepared, cases)] == ["pt_2"]
    left = dataclasses.replace(chosen, old=dataclasses.replace(chosen.old, leave_out=("pt_2",)))
    assert prepare.old_volumes(left, prepared, cases) == []
    assert prepare.clinic(chosen, cases[0]).name == "pt_1" and prepare.clinic(chosen, cases[1]) is None


def test_cross_validation_reports_every_patient_and_the_model_learns_from_all(
    chosen, model, tmp_path, monkeypatch, capsys
):
    out, learnt = tmp_path / "out", {}
    write_toml(chosen, tmp_path / "adapt.toml")
    patches = whole.Adaptation.patches
    monkeypatch.setattr(
        whole.Adaptation,
        "patches",
        lambda self, names, config: learnt.setdefault(len(learnt), list(names)) and patches(self, names, config),
    )
    monkeypatch.setattr(
        "sys.argv",
        [
            "hn-training",
            "adapt",
            str(model),
            "--config",
            str(tmp_path / "adapt.toml"),
            "--out",
            str(out),
            "--folds",
            "2",
        ],
    )
    assert main() == 0
    names = {f"case_{n}" for n in range(1, 5)}
    report = json.loads((out / "report.json").read_text())["compared"]
    assert all(set(report[party]) == names for party in ("before", "thresholds alone", "after", "b"))
    assert 0.5 < report["b"]["case_2"]["Brainstem"]["dice"] < 0.9 and report["b"]["case_2"]["Brainstem"]["volume"] > 1.5
    assert set(report["old contours"]) == {"case_1"}
    for number in (1, 2):
        tested = set(json.loads((out / f"fold_{number}" / "scores.json").read_text()))
        assert len(tested) == 2 and tested.isdisjoint(learnt[number])
    assert set(learnt[0]) == set(learnt[3]) == names  # the first measures the norms, the last is the final run
    before, after, blended = (
        torch.load(out / name, weights_only=True)["average"]["classify.weight"]
        for name in ("start.pt", "final/best.pt", "final/blended.pt")
    )
    assert not torch.equal(before, after) and torch.allclose(blended, (before + after) / 2)
    table = (out / "report.md").read_text()
    assert table.startswith("# Agreement with a") and "| Brainstem |" in table and "case_3" in table
    adapted = json.loads((out / "model" / "model.json").read_text())
    assert adapted["name"] == "hn-densevnet-adapted" and set(adapted["trained"]["thresholds"]) == {"Brainstem"}
    assert [
        organ["name"]
        for organ in json.loads((out / "model" / "organs.json").read_text())["organs"]
        if organ["in_model"]
    ] == ["Brainstem", "SpinalCord"]

    write_toml(
        dataclasses.replace(chosen, optimise=dataclasses.replace(chosen.optimise, steps=9)), tmp_path / "adapt.toml"
    )
    assert main() == 2 and "was begun with another model or other settings" in capsys.readouterr().err


def test_without_early_stopping_all_others_teach_a_fold_for_all_steps(chosen, model, tmp_path, monkeypatch):
    nobody_aside = dataclasses.replace(chosen, stop=dataclasses.replace(chosen.stop, one_in=0))
    with pytest.raises(config.ConfigError, match="one_in = 0 needs --folds"):
        whole.Adaptation(model, nobody_aside, tmp_path / "out", 0)
    fold = whole.Adaptation(model, nobody_aside, tmp_path / "out", 4)
    taught = []
    monkeypatch.setattr(run, "adapt", lambda *given: taught.append(given) or 3)
    monkeypatch.setattr(whole.average, "blend", lambda *_given: None)
    assert fold.learn(fold.cases[1:], fold.config, "fold_1", stopping=True) == (3, [])
    (_, _, patches, judges, _, _) = taught[0]
    assert judges == [] and len(patches.sets[0].volumes) == 6


def test_a_killed_run_goes_on_to_the_same_weights(chosen, model, tmp_path, monkeypatch):
    """Killed in the midst of a step, twice; the weights are those of a run that was not."""
    whole.adapt(model, chosen, tmp_path / "whole", 0, "made-up patients")
    step, killed = loop.train_step, []

    def killing(current, batch):
        if current.step in (1, 2) and current.step not in killed:
            killed.append(current.step)
            raise KeyboardInterrupt
        step(current, batch)

    monkeypatch.setattr(loop, "train_step", killing)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            whole.adapt(model, chosen, tmp_path / "parts", 0, "made-up patients")
    whole.adapt(model, chosen, tmp_path / "parts", 0, "made-up patients")
    one, other = (
        torch.load(tmp_path / name / "final" / run.BEST, weights_only=True)["average"] for name in ("whole", "parts")
    )
    assert killed == [1, 2] and all(torch.allclose(one[key].float(), other[key].float(), atol=1e-5) for key in one)
    assert (tmp_path / "whole" / "final" / run.LOOKS).read_text() == (
        tmp_path / "parts" / "final" / run.LOOKS
    ).read_text()


def test_early_stopping_keeps_the_best_and_ends_what_gets_worse(tmp_path, monkeypatch):
    means = iter([0.5, 0.7, 0.6, 0.65, 0.6])
    stop = settings.Stop(look_every=1, patience=2)

    class Run:
        step = 0

        def save(self, path):
            path.write_text(str(self.step))

    fake = Run()
    monkeypatch.setattr(run, "judged", lambda _current, _judges: {"Brainstem": next(means)})
    for fake.step in (0, 1, 2):
        run.look(fake, [], tmp_path)
        assert not run.overdue(tmp_path, stop)
    fake.step = 3
    run.look(fake, [], tmp_path)
    assert run.overdue(tmp_path, stop) and run.best(tmp_path) == (1, 0.7)
    assert (tmp_path / run.BEST).read_text() == "1" and (tmp_path / loop.CHECKPOINT).read_text() == "3"


def test_thresholds_come_from_the_scores_and_each_fold_has_those_of_the_others():
    def scores(best):
        return {
            "Brainstem": {str(t): {"dice": 1 - abs(t - best), "volume": 1.0, "hd95": None} for t in measures.CANDIDATES}
        }

    assert measures.thresholds({"one": scores(0.3), "two": scores(0.7), "three": scores(0.4)}) == {"Brainstem": 0.4}
    assert measures.at({"one": scores(0.3)}, {"Brainstem": 0.4})["one"]["Brainstem"]["dice"] == pytest.approx(0.9)
    apart = whole.crossed({"fold_1": {"one": scores(0.3)}, "fold_2": {"two": scores(0.7)}})
    assert [apart[name]["Brainstem"]["dice"] for name in ("one", "two")] == [pytest.approx(0.6)] * 2
    assert measures.summary(measures.at({"one": scores(0.5)}, {}), "Brainstem") == (1, 1.0, 1.0, float("inf"))


def test_the_ceiling_is_lower_on_a_coarser_grid(chosen, model, tmp_path):
    found = ceiling.scores(chosen, settings.training_config(chosen, model, tmp_path))
    coarse, fine = (measures.summary(found[stride], "Brainstem") for stride in (2, 1))
    assert coarse[0] == 4 and 0.8 < coarse[1] < fine[1] <= 1


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        ("old", {"share": 1.0}, "share = 1.0 is out of range"),
        ("old", {"labels": {}}, r"\[old.labels\] names no organ"),
        ("old", {"unknown": ["Spleen"]}, r"\[old\] names Spleen"),
        ("patients", {"labels": {}}, r"\[patients.labels\] names no organ"),
        ("patients", {"hands": "a"}, "hands cannot be 'a'"),
        ("stop", {"patience": 0}, "patience 1 or more"),
        ("speed", {}, "unknown tables: speed"),
    ],
)
def test_a_setting_that_cannot_be_is_named(chosen, table, values, message):
    tables = dataclasses.asdict(chosen)
    tables[table] = tables.get(table, {}) | values
    with pytest.raises(config.ConfigError, match=message):
        settings.from_dict(tables)


def test_folds_that_cannot_be_are_refused(chosen, model, tmp_path):
    for folds in (-1, 1, 5):
        with pytest.raises(config.ConfigError, match="there are 4 patients"):
            whole.adapt(model, chosen, tmp_path / "out", folds, "made-up patients")
    assert not (tmp_path / "out").exists()


def test_a_collection_brings_its_settings_along(tmp_path, monkeypatch):
    """Paths are those beside the file where the working directory has none; that one comes first."""
    text = (ROOT / "adapt.toml").read_text().replace('index = ""    ', 'index = "index.json"', 1)
    text = text[: text.index("[old]")] + text[text.index("[augment]") :]
    (tmp_path / "better" / "patients").mkdir(parents=True)
    (tmp_path / "better" / "index.json").write_text("{}")
    (tmp_path / "better" / "adapt.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    found = settings.load(Path("better") / "adapt.toml").patients
    assert (found.folder, found.index) == ("better/patients", "better/index.json")
    (tmp_path / "patients").mkdir()
    assert settings.load(tmp_path / "better" / "adapt.toml").patients.folder == "patients"


def test_an_adapted_model_can_be_added_beside_the_one_it_came_from(chosen, model, tmp_path, monkeypatch, capsys):
    """Neither name nor version are the old one's, and it can be adapted once more."""
    write_toml(chosen, tmp_path / "adapt.toml")
    words = ["--config", str(tmp_path / "adapt.toml")]

    def adapted(start, *more):
        monkeypatch.setattr(
            "sys.argv", ["hn-training", "adapt", str(start), "--out", str(tmp_path / "a"), *words, *more]
        )
        assert main() == 0
        return json.loads((tmp_path / "a" / "model" / "model.json").read_text())

    first = adapted(model)
    assert first["name"] == "hn-densevnet-adapted" and len(first["version"].split(".")) == 3
    assert first["version"] != export.VERSION and first["trained"]["network"] == "densevnet"
    again = adapted(model, "--name", "our-clinic", "--version", "2")
    assert (again["name"], again["version"]) == ("our-clinic", "2")
    assert settings.training_config(chosen, tmp_path / "a" / "model", tmp_path).network.name == "densevnet"
    monkeypatch.setattr("sys.argv", ["hn-training", "adapt", str(model), "--out", str(tmp_path / "b"), *words,
                                     "--name", "our clinic"])  # fmt: skip
    assert main() == 2 and "--name our clinic cannot name a folder" in capsys.readouterr().err
    assert not (tmp_path / "b" / "final").exists(), "said before hours of training"
