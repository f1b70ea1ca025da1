"""hn-segmenter model: what people and scripts read of it."""

from __future__ import annotations

import json

import pytest

from HNSegmenterLib import models
from HNSegmenterLib.cli.main import main
from HNSegmenterLib.settings import Settings
from Testing.models.made import TWO_ORGANS, model, parotids


@pytest.fixture
def run(capsys):
    """Exit code, stdout and stderr of hn-segmenter model ..., as lines of JSON where asked for."""

    def run(*arguments: object, code: int = 0):
        assert main(["model", *map(str, arguments)]) == code
        out, err = capsys.readouterr()
        return [json.loads(line) for line in out.splitlines()] if "--json" in arguments else out + err

    return run


def test_a_model_is_added_listed_shown_used_and_removed(run, tmp_path):
    folder = parotids(tmp_path / "clinic")
    assert "Added clinic-parotids@1.0 (sha256:" in run("add", folder)
    assert "is there already: nothing was changed" in run("add", folder)
    listed = run("list").splitlines()
    assert [line.split()[:3] for line in listed[1:3]] == [
        ["hn-densevnet", models.shipped_model().version, "6"],
        ["clinic-parotids", "1.0", "2"],
    ]
    assert listed[1].split()[-2:] == ["shipped,", "chosen"]
    assert "clinic-parotids@1.0 draws Parotid_L, Parotid_R" in listed
    shown = run("show", "clinic-parotids")
    assert "All of its files match their checksums" in shown and "Parotid gland" in shown and "Left" in shown
    assert "uses clinic-parotids@1.0 for 2 organs: Parotid_L, Parotid_R" in run("use", "clinic-parotids")
    assert Settings.load().models == ["clinic-parotids"]
    assert "is chosen in the settings" in run("remove", "clinic-parotids@1.0", code=64)
    assert "uses the model that came with the program" in run("use", "--default")
    assert Settings.load().models == []
    assert "Removed clinic-parotids@1.0" in run("remove", "clinic-parotids")


def test_scripts_read_json(run, tmp_path):
    added = run("add", parotids(tmp_path / "clinic"), "--json")[-1]
    assert added["event"] == "result" and added["added"] and added["organs"] == ["Parotid_L", "Parotid_R"]
    run("use", "clinic-parotids:Parotid_L", "hn-densevnet", "--json")
    listed = run("list", "--json")[-1]["models"]
    assert [(one["name"], one["shipped"], one["chosen"]) for one in listed] == [
        ("hn-densevnet", True, True),
        ("clinic-parotids", False, True),
    ]


def test_a_chosen_folder_is_kept_by_its_whole_path(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "mine")
    run("use", "./mine:Brain")
    assert Settings.load().models == [f"{tmp_path / 'mine'}:Brain"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("use",), "Give the model or models to use"),
        (("use", "hn-densevnet", "--default"), "Give the model or models to use"),
        (("use", "nothing"), "There is no model 'nothing'"),
        (("use", "hn-densevnet:Heart"), "draws no Heart, only Brainstem"),
        (("use", "hn-densevnet", "hn-densevnet"), "was given twice"),
        (("show", "nothing"), "There is no model 'nothing'"),
        (("remove", "hn-densevnet"), "came with the program and stays"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_kept(run, arguments, said):
    assert said in run(*arguments, code=64)
    assert Settings.load().models == []


def test_a_damaged_model_is_listed_with_its_sentence(run):
    folder = models.add(TWO_ORGANS).folder
    (folder / "network.onnx").write_bytes(b"short")
    assert "All of its files match" not in run("show", "two-organs-test", code=1)
    (folder / "organs.json").unlink()
    listed = run("list")
    assert "damaged" in listed and "! The model two-organs-test@1 cannot be used: organs.json is missing" in listed
    assert run("list", "--json")[-1]["models"][1]["fault"]


def test_the_doctor_verifies_every_model_and_fails_for_one_in_use(run, capsys):
    folder = models.add(TWO_ORGANS).folder
    assert found("Model two-organs-test@1", capsys)["state"] == "ok"
    (folder / "network.onnx").write_bytes(b"short")
    damaged = found("Model two-organs-test@1", capsys)
    assert damaged["state"] == "warning" and "network.onnx does not match its checksum" in damaged["found"]
    run("use", "two-organs-test")
    assert found("In use: two-organs-test", capsys)["state"] == "fault"


def found(what: str, capsys) -> dict:
    main(["doctor", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    return next(finding for finding in result["findings"] if finding["what"] == what)
