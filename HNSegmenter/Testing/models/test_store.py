"""Adding, finding and removing models: whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from HNSegmenterLib import models
from HNSegmenterLib.errors import Cancelled, HNSegmenterError, UnusableModel, WrongUsage
from HNSegmenterLib.events import CancelToken
from Testing.machine import ROOT
from Testing.models.made import NNUNET_WAY, TWO_ORGANS, model, parotids

SHIPPED_NAME = "hn-densevnet"


def titles() -> list[str]:
    return [one.title for one in models.all_models()]


def test_the_shipped_one_is_always_there_and_first(tmp_path):
    shipped = models.shipped_model()
    assert shipped is not None and shipped.shipped and shipped.name == SHIPPED_NAME
    models.add(model(tmp_path / "a", name="a-model"))
    assert titles() == [shipped.title, "a-model@1"]
    assert models.find(SHIPPED_NAME) == shipped
    with pytest.raises(WrongUsage, match="came with the program and stays"):
        models.remove(SHIPPED_NAME)


def test_a_folder_and_a_zip_of_it_become_the_same_model(tmp_path):
    folder = parotids(tmp_path / "clinic")
    (folder / "LICENSE").write_text("free")
    added = models.add(folder)
    assert added.organ_names == ("Parotid_L", "Parotid_R")
    assert added.folder == models.models_folder() / "clinic-parotids" / "1.0"
    assert sorted(file.name for file in added.folder.iterdir()) == [
        "SHA256SUMS",
        "model.json",
        "network.onnx",
        "organs.json",
    ]
    assert models.read_folder(added.folder).digest == added.digest
    models.remove("clinic-parotids")
    assert titles() == [models.shipped_model().title]
    assert list(models.models_folder().iterdir()) == []
    for base in (".", folder.name):
        archive = shutil.make_archive(str(tmp_path / "z"), "zip", folder if base == "." else tmp_path, base)
        assert models.add(Path(archive)).digest == added.digest
        models.remove("clinic-parotids@1.0")


def test_an_nnunets_description_is_known(tmp_path):
    trained = {"from": "nnunetv2", "folds": [0]}
    folder = model(tmp_path / "n", method="nnunet", output="labels", preprocessing=NNUNET_WAY, trained=trained)
    added = models.add(folder)
    assert (added.method, added.trained) == ("nnunet", trained)


def test_organs_that_it_does_not_have_are_not_drawn(tmp_path):
    folder = model(tmp_path / "m", change=lambda _, organs: organs[0].update(channel=None))
    assert models.read_folder(folder).organ_names == ("Brain",)


def test_the_same_again_changes_nothing_and_another_of_its_name_is_refused(tmp_path):
    first = models.add(model(tmp_path / "one"))
    before = first.folder.stat().st_mtime_ns
    assert models.add(tmp_path / "one") == first
    other = model(tmp_path / "two", trained={"data": "other"})
    with pytest.raises(WrongUsage, match=r"Another two-organs-test@1 is there already \(sha256:"):
        models.add(other)
    with pytest.raises(WrongUsage, match="Another two-organs-test@1"):
        models.add(model(tmp_path / "three", name="Two-Organs-Test"))  # some disks do not tell them apart
    with pytest.raises(WrongUsage, match=f"Another {SHIPPED_NAME}"):
        models.add(model(tmp_path / "four", name=SHIPPED_NAME, version=models.shipped_model().version))
    assert first.folder.stat().st_mtime_ns == before
    assert models.read_folder(first.folder).digest == first.digest
    assert len(titles()) == 2


def test_the_newest_version_is_found_and_one_of_several_is_removed_by_its_version(tmp_path):
    for version in ("0.9", "0.10", "0.2"):
        models.add(model(tmp_path / version, name="clinic", version=version))
    assert titles()[1:] == ["clinic@0.10", "clinic@0.9", "clinic@0.2"]
    assert models.find("clinic").version == "0.10"
    assert models.find("clinic@0.2").version == "0.2"
    with pytest.raises(WrongUsage, match=r"several versions of clinic .*say which"):
        models.remove("clinic")
    models.remove("clinic@0.10")
    assert models.find("clinic").version == "0.9"
    with pytest.raises(WrongUsage, match="There is no model 'clinic@3'"):
        models.find("clinic@3")
    with pytest.raises(WrongUsage, match="There is no model 'nothing'"):
        models.remove("nothing")


def test_a_folder_is_found_by_its_path(tmp_path, monkeypatch):
    assert models.find(str(TWO_ORGANS)).title == "two-organs-test@1"
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "here", name="other")
    assert models.find("here").folder == tmp_path / "here"
    models.add(model(tmp_path / "there", name="here"))
    assert models.find("here").folder.is_relative_to(models.models_folder())  # a name goes before a folder
    assert models.find("./here").name == "other"


def test_a_damaged_model_is_listed_named_and_removed(tmp_path):
    added = models.add(model(tmp_path / "m"))
    (added.folder / "organs.json").write_text("{}")
    listed = models.all_models()[1]
    assert listed.title == added.title and "organs.json does not match its checksum" in listed.fault
    with pytest.raises(UnusableModel, match=r"hn-segmenter model remove two-organs-test@1\) and add it again"):
        models.find("two-organs-test")
    with pytest.raises(WrongUsage, match="does not match"):
        models.add(tmp_path / "m")
    models.remove("two-organs-test")
    assert models.add(tmp_path / "m").fault == ""


def test_a_damaged_network_is_seen_where_it_is_looked_for(tmp_path):
    added = models.add(parotids(tmp_path / "m"))
    with (added.folder / "network.onnx").open("r+b") as network:
        network.seek(1000)
        network.write(b"damage")
    assert models.find("clinic-parotids").fault == ""  # fast
    with pytest.raises(UnusableModel, match=r"network\.onnx does not match its checksum"):
        models.read_folder(added.folder)


def test_a_newest_version_that_is_damaged_is_not_passed_over(tmp_path):
    models.add(model(tmp_path / "1", version="1"))
    newer = models.add(model(tmp_path / "2", version="2"))
    (newer.folder / "model.json").unlink()
    with pytest.raises(UnusableModel, match=r"two-organs-test@2 cannot be used: model\.json is missing"):
        models.find("two-organs-test")
    assert models.find("two-organs-test@1").version == "1"


def test_a_cancel_leaves_nothing(tmp_path):
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        models.add(TWO_ORGANS, cancel)
    assert not models.models_folder().exists()


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HNSEG_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(HNSegmenterError, match="name another folder in HNSEG_MODELS"):
        models.add(TWO_ORGANS)
    monkeypatch.setenv("HNSEG_MODELS", "/proc/models")
    with pytest.raises(HNSegmenterError, match="HNSEG_MODELS"):
        models.add(TWO_ORGANS)


@pytest.mark.skipif(os.geteuid() != 0 if hasattr(os, "geteuid") else True, reason="mounting needs root")
def test_a_full_disk_and_one_that_may_not_be_written(tmp_path, monkeypatch):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        monkeypatch.setenv("HNSEG_MODELS", str(disk / "models"))
        with pytest.raises(HNSegmenterError, match="There is no room for the model"):
            models.add(parotids(tmp_path / "large"))
        assert not (disk / "models").exists()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(HNSegmenterError, match="Nothing may be written into"):
            models.add(TWO_ORGANS)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_two_that_add_the_same_at_once(tmp_path):
    folder = parotids(tmp_path / "m")
    code = f"from HNSegmenterLib import models; from pathlib import Path; models.add(Path({str(folder)!r}))"
    path = os.pathsep.join([str(ROOT / "HNSegmenter"), os.environ.get("PYTHONPATH", "")])
    runs = [subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert titles()[1:] == ["clinic-parotids@1.0"]
    assert [file.name for file in models.models_folder().iterdir()] == ["clinic-parotids"]


def test_a_damaged_shipped_one_is_named_as_such(tmp_path, monkeypatch):
    network = tmp_path / "network"
    folder = parotids(network / "hn_network" / "model")
    (network / "predict.py").touch()
    monkeypatch.setenv("HNSEG_NETWORK", str(network))
    assert models.shipped_model().title == "clinic-parotids@1.0"
    (folder / "organs.json").unlink()
    with pytest.raises(UnusableModel, match=r"organs\.json is missing"):
        models.find("clinic-parotids")
    (folder / "model.json").write_text("[]")
    assert models.all_models()[0].fault


def test_without_the_network_there_is_no_shipped_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HNSEG_NETWORK", str(tmp_path))
    assert models.shipped_model() is None
    models.add(TWO_ORGANS)
    assert titles() == ["two-organs-test@1"]
