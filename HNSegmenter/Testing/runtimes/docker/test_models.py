"""Images that hold another model: built by its name, found by its digest, run beside the network of this computer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from HNSegmenterLib import models, pipeline
from HNSegmenterLib.cli.main import main
from HNSegmenterLib.errors import EngineFault
from HNSegmenterLib.runtimes import choose, images
from HNSegmenterLib.settings import Settings
from Testing.models.made import model
from Testing.phantoms import head_phantom, write_ct_series
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.support import BASE

__all__ = ["engine", "nothing_left"]
TAG = "hn-segmenter:docker-model-1.0_clinic"  # a + cannot be in a tag
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("nothing_left")]


def bones(folder: Path) -> Path:
    return model(folder, organs=("Bone_Mandible",), name="docker-model", version="1.0+clinic")


@pytest.fixture(scope="module")
def built(our_image, engine, tmp_path_factory):
    """What `image build --model` said: it takes but the last layers, since our_image has the others."""
    folder = tmp_path_factory.mktemp("build")
    environment = {**os.environ, "HNSEG_MODELS": str(folder / "models"), "HNSEG_SETTINGS": str(folder / "settings")}
    command = [sys.executable, "-m", "HNSegmenterLib", "image", "build", "--base", BASE, "--network", "host", "--json"]
    command += ["--model", str(bones(folder / "bones"))]
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        command += ["--ca-bundle", bundle]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert not (folder / "settings").exists(), "the settings' image stays the shipped model's"
    yield json.loads(run.stdout.splitlines()[-1])
    engine.client.remove_image(TAG, force=True)


@pytest.fixture
def docker_model(built, tmp_path):
    return models.add(bones(tmp_path / "docker-model"))


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ct")
    write_ct_series(folder, head_phantom())
    return folder


def test_the_image_is_tagged_and_listed_by_its_model(built, docker_model, engine, capsys):
    assert built["name"] == TAG and built["model_digest"] == docker_model.digest
    assert main(["image", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out.splitlines()[-1])["images"]
    by_name = {image["name"]: image["model"] for image in listed}
    assert by_name[TAG] == docker_model.title
    assert by_name["hn-segmenter:test"] == models.shipped_model().title
    models.remove(docker_model.name)
    main(["image", "check", TAG, "--json"])
    assert f"model {docker_model.digest[:19]}." in capsys.readouterr().out


def test_a_chosen_model_runs_in_its_image_as_on_this_computer(docker_model, series, tmp_path):
    runtime = choose("docker", models=[docker_model.name])
    assert TAG in runtime.describe()
    assert choose("auto", models=[docker_model.name]).describe() == runtime.describe()
    contained = pipeline.segment(series, tmp_path / "docker", runtime)
    local = pipeline.segment(series, tmp_path / "local", choose("local", models=[docker_model.name]))
    assert contained.result.models == local.result.models == [docker_model.describe()]
    assert contained.result.runtime["where"] == "docker"
    organ = "Bone_Mandible"
    assert contained.labelmaps[organ].read_bytes() == local.labelmaps[organ].read_bytes()


def test_a_model_without_an_image_is_named_or_runs_on_this_computer(docker_model, series, tmp_path):
    other = model(tmp_path / "other", organs=("Brain",), name="no-image")
    choices = [docker_model.name, str(other)]
    with pytest.raises(EngineFault) as refused:
        choose("docker", models=choices)
    assert f"holds the model no-image@1: build one (hn-segmenter image build --model {other})" in refused.value.sentence
    both = choose("auto", models=choices)
    assert [part.runtime.name for part in both.parts] == ["docker", "local"] and both.name == "docker, local"
    outcome = pipeline.segment(series, tmp_path / "out", both)
    drawn = [(organ.name, organ.model["name"]) for organ in outcome.result.organs]
    assert drawn == [("Bone_Mandible", "docker-model"), ("Brain", "no-image")]


def test_the_settings_image_goes_before_others_of_the_same_model(docker_model, engine):
    engine.client.tag(TAG, "hn-segmenter-preferred", "test")
    try:
        settings = Settings(image="hn-segmenter-preferred:test")
        assert images.with_model(engine, docker_model, settings.image).reference == settings.image
        (part,) = choose("docker", settings, models=[docker_model.name]).parts
        assert "hn-segmenter-preferred:test" in part.describe()
    finally:
        engine.client.remove_image("hn-segmenter-preferred:test")


def test_the_shipped_model_is_found_by_its_digest_too(our_image, engine):
    shipped = models.shipped_model()
    nowhere = Settings(image="nobody/has-this:image")
    (part,) = choose("docker", nowhere, models=[shipped.name]).parts
    assert part.runtime.image.model_digest == shipped.digest
    with pytest.raises(EngineFault, match="nobody/has-this"):
        choose("docker", nowhere)
