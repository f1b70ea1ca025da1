"""Several models, one structure set: on a phantom, with networks that are thresholds, run as they would be."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib import models, pipeline
from HNSegmenterLib.errors import Cancelled, EngineFault, RuntimeFault, UnusableModel, WrongUsage
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.result import Result
from HNSegmenterLib.runtimes import ChosenModels, choose
from HNSegmenterLib.settings import Settings
from Testing.models.made import SHIPPED, TWO_ORGANS, model
from Testing.phantoms import head_phantom, write_ct_series
from Testing.rtstruct.help import dciodvfy_complaints

NOWHERE = "unix:///nowhere/docker.sock"
RED = [255, 0, 0]


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ct")
    write_ct_series(folder, head_phantom())
    return folder


def red_bones(folder: Path) -> Path:
    """Draws the mandible in red, and calls it label 2."""

    def change(_, organs):
        organs[0].update(color=RED, label=2)

    return model(folder, organs=("Bone_Mandible",), change=change, name="red-bones", version="2.0")


@pytest.fixture
def bones(tmp_path):
    return models.add(red_bones(tmp_path / "red-bones"))


@pytest.fixture
def two():
    return models.add(TWO_ORGANS)


def segment(series: Path, out: Path, *choices: str, **options):
    return pipeline.segment(series, out, choose("local", models=choices), **options)


def test_two_models_make_one_structure_set_in_which_each_roi_says_its_model(series, bones, two, tmp_path):
    outcome = segment(series, tmp_path / "out", "red-bones", "two-organs-test")
    written = json.loads((outcome.out / "result.json").read_text())
    assert [(organ["name"], organ["label"], organ["model"]["name"]) for organ in written["organs"]] == [
        ("Bone_Mandible", 2, "red-bones"),
        ("Brain", 1, "two-organs-test"),  # 2, its own, was taken
    ]
    assert written["models"] == [bones.describe(), two.describe()] and written["model"] == bones.describe()
    assert written["organs"][0]["color"] == RED and set(outcome.labelmaps) == {"Bone_Mandible", "Brain"}
    assert Result.read(outcome.out / "result.json").models == written["models"]
    dataset = pydicom.dcmread(outcome.rtstruct)
    said = {roi.ROIName: roi for roi in dataset.StructureSetROISequence}
    for name, drawn in (("Bone_Mandible", bones), ("Brain", two)):
        roi = said[name]
        assert roi.ROIGenerationAlgorithm == "AUTOMATIC"
        assert roi.ROIGenerationDescription == f"{drawn.name} {drawn.version} ({drawn.digest[:19]}...)"
        assert f"Drawn by {drawn.name} {drawn.version}." in roi.ROIDescription
        (algorithm,) = roi.ROIDerivationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (drawn.name, drawn.version)
        assert drawn.digest in algorithm.AlgorithmParameters and drawn.digest in dataset.StructureSetDescription
    assert list(dataset.SoftwareVersions)[1:] == ["red-bones 2.0", "two-organs-test 1"]
    assert dciodvfy_complaints(outcome.rtstruct) == []


def test_the_same_organ_looks_the_same_whoever_else_draws(series, bones, two, tmp_path):
    alone = segment(series, tmp_path / "alone", "two-organs-test")
    beside = segment(series, tmp_path / "beside", "red-bones", "two-organs-test")
    assert alone.labelmaps["Brain"].read_bytes() == beside.labelmaps["Brain"].read_bytes()


def test_organs_that_were_asked_for_and_no_others(series, two, bones, tmp_path):
    outcome = segment(series, tmp_path / "out", "two-organs-test:Brain")
    assert [organ.name for organ in outcome.result.organs] == ["Brain"]
    assert sorted(path.name for path in (outcome.out / "segmentations").iterdir()) == ["Brain.nii.gz"]
    turned = segment(series, tmp_path / "turned", "two-organs-test", "red-bones:Bone_Mandible")
    drawn = [(organ.name, organ.model["name"], organ.label) for organ in turned.result.organs]
    assert drawn == [("Brain", "two-organs-test", 2), ("Bone_Mandible", "red-bones", 1)]


def test_an_organ_that_a_model_has_not_is_told_where_no_other_draws_it(series, tmp_path):
    lacking = model(tmp_path / "l", change=lambda _, o: o[0].update(channel=None, in_model=False), name="lacking")
    more = model(tmp_path / "m", name="more", change=lambda _, o: o[1].update(name="Tooth", channel=None))
    told = segment(series, tmp_path / "one", str(lacking)).result.organs
    assert [(organ.name, organ.status) for organ in told] == [
        ("Brain", "found"),
        ("Bone_Mandible", "not in this model"),
    ]
    told = segment(series, tmp_path / "two", str(lacking), str(more)).result.organs
    assert [(organ.name, organ.status, organ.model["name"]) for organ in told] == [
        ("Brain", "found", "lacking"),
        ("Bone_Mandible", "found", "more"),
        ("Tooth", "not in this model", "more"),
    ]


def test_progress_never_goes_back_and_names_the_model(series, bones, two, tmp_path, own_folders):
    events = []
    segment(series, tmp_path / "out", "red-bones", "two-organs-test", emit=events.append)
    fractions = [event.fraction for event in events if event.fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    of_networks = [event for event in events if event.kind == "progress" and "@" in (event.message or "")]
    first, second = (
        [e.fraction for e in of_networks if f"({name}" in e.message and e.fraction] for name in ("red", "two")
    )
    assert max(first) <= 0.425 <= min(second) <= max(second) <= 0.7  # halves of the share that the networks have
    assert list((own_folders / "jobs").iterdir()) == []


def test_a_cancel_in_the_second_model_leaves_nothing(series, bones, two, tmp_path, own_folders):
    cancel = CancelToken()

    def listen(event):
        if "(two-organs-test@1)" in (event.message or ""):
            cancel.cancel()

    begin = time.monotonic()
    with pytest.raises(Cancelled):
        segment(series, tmp_path / "out", "red-bones", "two-organs-test", emit=listen, cancel=cancel)
    assert time.monotonic() - begin < 60 and not (tmp_path / "out").exists()
    assert list((own_folders / "jobs").iterdir()) == []


def test_a_network_that_was_damaged_since_ends_the_job_with_its_sentence(series, bones, two, tmp_path):
    runtime = choose("local", models=("red-bones", "two-organs-test"))
    (two.folder / "network.onnx").write_bytes(b"damaged")
    with pytest.raises(RuntimeFault, match=r"network\.onnx does not match its checksum"):
        pipeline.segment(series, tmp_path / "out", runtime)
    assert not (tmp_path / "out").exists()


def test_a_model_that_was_exchanged_since_is_not_taken_for_the_one_that_was_chosen(series, tmp_path):
    folder = model(tmp_path / "m")
    runtime = choose("local", models=[str(folder)])
    other = model(tmp_path / "other", trained={"data": "others"})
    for file in other.iterdir():
        file.replace(folder / file.name)
    with pytest.raises(RuntimeFault, match=r"Another model ran than two-organs-test@1: sha256:"):
        pipeline.segment(series, tmp_path / "out", runtime)


def test_the_settings_choice_is_kept_and_an_option_goes_before_it(bones, two):
    settings = Settings(models=["red-bones", "two-organs-test:Brain"])
    kept = choose("local", settings)
    assert isinstance(kept, ChosenModels)
    assert [str(part.choice) for part in kept.parts] == ["red-bones@2.0", "two-organs-test@1:Brain"]
    assert "red-bones@2.0: The network runs on this computer" in kept.describe()
    assert "two-organs-test@1 for 1 of its 2 organs" in kept.describe()
    (part,) = choose("local", settings, models=["two-organs-test"]).parts
    assert part.title == "two-organs-test@1"
    assert not isinstance(choose("local", settings, models=()), ChosenModels)


def test_the_digest_tells_choices_apart(bones, two):
    def digest(*texts):
        return choose("local", models=texts).digest

    assert digest("red-bones") == bones.digest
    assert len({digest("red-bones", "two-organs-test"), digest("two-organs-test:Brain"), two.digest}) == 3
    assert digest("red-bones", "two-organs-test") == digest("red-bones", "two-organs-test:Brain")  # the same is drawn


def test_what_does_not_go_together_or_is_not_there_is_said(two, bones):
    with pytest.raises(WrongUsage, match="image brings its own model"):
        choose("auto", models=["two-organs-test"], image="hn-segmenter:latest")
    with pytest.raises(WrongUsage, match="There is no model 'none'"):
        choose("local", models=["none"])
    with pytest.raises(WrongUsage, match=r"There is no model 'gone'.*hn-segmenter model list"):
        choose("local", Settings(models=["gone"]))
    with pytest.raises(WrongUsage, match=r"red-bones@2\.0 draws nothing that the other models lack"):
        choose("local", models=["two-organs-test", "red-bones"])
    (two.folder / "organs.json").unlink()
    with pytest.raises(UnusableModel, match=r"two-organs-test@1 cannot be used: organs\.json is missing"):
        choose("local", models=["two-organs-test"])


def test_without_an_engine_auto_falls_back_and_docker_says_why(two):
    settings = Settings(docker_host=NOWHERE)
    (part,) = choose("auto", settings, models=["two-organs-test"]).parts
    assert part.runtime.name == "local" and "Docker was not used, since" in part.describe()
    with pytest.raises(EngineFault, match="No Docker engine answers"):
        choose("docker", settings, models=["two-organs-test"])


def test_the_shipped_model_by_its_name_and_by_its_folder_are_one(two):
    with pytest.raises(WrongUsage, match="was given twice"):
        choose("local", models=["hn-densevnet", str(SHIPPED)])
