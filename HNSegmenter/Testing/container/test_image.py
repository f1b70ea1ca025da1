"""The image, built from the shipped Dockerfile around a small model and run as the client runs it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import docker
from Testing.container.phantoms import BALLS, PREDICT, predict, write_ct, write_model
from Testing.machine import require

pytestmark = pytest.mark.docker
BASE = os.environ.get("HNSEG_TEST_BASE", "hnseg-test-base:bookworm")
TAG = "hnseg-container-test:bands"
LAYERS_MB = 280


@pytest.fixture(scope="module")
def client():
    try:
        engine = docker.from_env(timeout=300)
        engine.ping()
    except docker.errors.DockerException:
        require(False, "a Docker engine")
    try:
        engine.images.get(BASE)
    except docker.errors.ImageNotFound:
        require(False, f"the base image {BASE}")
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("bands") / "model", ["Brainstem", "Parotid_L", "Parotid_R"])


def build(client, model: Path, folder: Path, digest: str):
    """Build from docker/ with another model; a proxy's CA bundle is passed on as a user would."""
    context = shutil.copytree(PREDICT.parent, folder, ignore=shutil.ignore_patterns("model", "__pycache__", "*.crt"))
    shutil.copytree(model, context / "hn_network" / "other")
    arguments = {"BASE_IMAGE": BASE, "MODEL": "hn_network/other", "MODEL_DIGEST": digest}
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        shutil.copy(bundle, context / "proxy.crt")
        arguments["CA_BUNDLE"] = "proxy.crt"
    return client.images.build(
        path=str(context), tag=TAG, buildargs=arguments, network_mode="host", rm=True, forcerm=True
    )[0]


def digest_of(model: Path) -> str:
    return "sha256:" + hashlib.sha256((model / "SHA256SUMS").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def image(client, model, tmp_path_factory):
    yield build(client, model, tmp_path_factory.mktemp("context") / "docker", digest_of(model))
    client.images.remove(TAG, noprune=True)


def run(client, ct: Path):
    """Create a container as the client does, with the CT in its data volume, and start it."""
    container = client.containers.create(
        TAG, ["--path", f"/data/{ct.name}"], network_mode="none", cap_drop=["ALL"], security_opt=["no-new-privileges"],
        read_only=True, tmpfs={"/tmp": ""}, mem_limit="1500m", pids_limit=256,
    )  # fmt: skip
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(ct, ct.name)
    container.put_archive("/data", content.getvalue())
    container.start()
    return container


def results(container, folder: Path) -> Path:
    stream, _ = container.get_archive("/results")
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "results"


def test_labels_user_and_size(client, image, model):
    config, base = image.attrs["Config"], client.images.get(BASE)
    assert config["Labels"]["org.hnsegmenter.contract"] == "1"
    assert config["Labels"]["org.hnsegmenter.data"] == "/data"
    assert config["Labels"]["org.hnsegmenter.results"] == "/results"
    assert config["Labels"]["org.hnsegmenter.model.digest"] == digest_of(model)
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["User"] == "10001:10001" and set(config["Volumes"]) == {"/data", "/results"}
    assert config["Entrypoint"] == ["python3", "/app/predict.py"]
    assert image.attrs["Size"] - base.attrs["Size"] < LAYERS_MB * 1e6
    assert not any("proxy.crt" in step["CreatedBy"] or "PIP_" in step["CreatedBy"] for step in image.history())


def test_runs_locked_down_and_finds_what_this_computer_finds(client, image, model, tmp_path):
    ct = tmp_path / "img.nii.gz"
    write_ct(ct)
    container = run(client, ct)
    try:
        assert container.wait(timeout=120)["StatusCode"] == 0, container.logs().decode()
        last = container.logs(stdout=True, stderr=False).decode().splitlines()[-1]
        assert json.loads(last) == {"event": "done", "result": "result.json"}
        found = results(container, tmp_path)
    finally:
        container.remove(force=True, v=True)
    assert predict("--path", ct, "--output", tmp_path / "local", "--model", model).returncode == 0
    organs = json.loads((found / "result.json").read_text())["organs"]
    assert [organ["name"] for organ in organs] == ["Brainstem", "Parotid_L", "Parotid_R"]
    for organ in organs:
        here, there = (nib.load(folder / organ["file"]) for folder in (tmp_path / "local", found))
        assert np.asarray(there.dataobj).any() and np.array_equal(here.dataobj, there.dataobj), organ["name"]
        assert organ["name"] in BALLS and here.header.binaryblock == there.header.binaryblock


def test_unusable_input_is_exit_2(client, image, tmp_path):
    ct = tmp_path / "img.nii"
    ct.write_text("no image")
    container = run(client, ct)
    try:
        assert container.wait(timeout=60)["StatusCode"] == 2
        assert "NIfTI" in container.logs(stdout=True, stderr=False).decode()
    finally:
        container.remove(force=True, v=True)


def test_stops_when_the_engine_asks(client, image, tmp_path):
    """As process 1 it would ignore the signal unless it handles it; the engine would kill it after ten seconds."""
    ct = tmp_path / "img.nii"
    write_ct(ct)
    container = run(client, ct)
    try:
        while b"read" not in container.logs():
            time.sleep(0.02)
        container.stop(timeout=60)
        assert container.wait()["StatusCode"] == 143
    finally:
        container.remove(force=True, v=True)


def test_another_digest_than_the_models_stops_the_build(client, image, model, tmp_path):
    with pytest.raises(docker.errors.BuildError):
        build(client, model, tmp_path / "docker", "sha256:" + "0" * 64)
