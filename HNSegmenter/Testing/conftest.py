"""What all tests share: real data, the images under test, and no trace on the user's machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from Testing.machine import DATA, ROOT, require

ON_THE_ENGINE = re.compile(r"mark\.docker|\bour_image\b|two_organ_image|runtimes\.docker\.fixtures")
"""Files with one of these share the one Docker engine, and look at what is left on it."""

TESTS = "HNSegmenter/Testing"
LONGEST = [
    "engine",
    f"{TESTS}/service/worker/test_serve.py",
    f"{TESTS}/service/test_whole_way.py",
    f"{TESTS}/service/worker/test_crowd.py",
    f"{TESTS}/service/worker/test_interrupted.py",
    f"{TESTS}/batch/test_interrupted.py",
    f"{TESTS}/service/worker/test_delivery.py",
    f"{TESTS}/evaluation/test_varied.py",
    f"{TESTS}/service/collecting/test_circle.py",
    f"{TESTS}/container/test_cuts.py",
]
"""Sides of half a minute and more, the longest first."""


def pytest_xdist_make_scheduler(config, log):
    """Side by side (pytest -n): a file's tests stay together, and all files of the engine are one after the other."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # by the number of tests, which would leave the longest for the end

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return side(nodeid.partition("::")[0])

    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """What takes longest comes first: a process that begins it last would end alone."""

    def rank(item) -> int:
        where = side(item.nodeid.partition("::")[0])
        return LONGEST.index(where) if where in LONGEST else len(LONGEST)

    items.sort(key=rank)


@cache
def side(file: str) -> str:
    return "engine" if ON_THE_ENGINE.search((ROOT / file).read_text(encoding="utf-8")) else file


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real CTs and contours, which users do not have."""
    if not (DATA / "openkbp" / "index.json").is_file():
        pytest.skip("real CTs are not on this machine (HNSEG_DATA)")
    return DATA


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch) -> Path:
    """Settings, jobs and added models of a test are its own."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HNSEG_SETTINGS", str(folder / "settings.json"))
    monkeypatch.setenv("HNSEG_JOBS", str(folder / "jobs"))
    monkeypatch.setenv("HNSEG_MODELS", str(folder / "models"))
    return folder


BASE_IMAGE = os.environ.get("HNSEG_TEST_BASE", "hnseg-test-base:bookworm")


@pytest.fixture(scope="session")
def our_image(tmp_path_factory) -> str:
    """The project's image, built as a user builds it, on the test base image."""
    client = _docker_client()
    command = [sys.executable, "-m", "HNSegmenterLib", "image", "build", "--base", BASE_IMAGE]
    command += ["--tag", "hn-segmenter:test", "--network", "host"]
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        command += ["--ca-bundle", bundle]
    settings = tmp_path_factory.mktemp("build") / "settings.json"  # the user's own stay as they are
    built = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "HNSEG_SETTINGS": str(settings)}, check=False
    )
    assert built.returncode == 0, built.stderr[-2000:]
    client.close()
    return "hn-segmenter:test"


@pytest.fixture(scope="session")
def two_organ_image(our_image, tmp_path_factory) -> str:
    """The same program with a model of other organs."""
    client = _docker_client()
    context = tmp_path_factory.mktemp("two_organs")
    shutil.copytree(ROOT / "training" / "fixtures" / "two_organs", context / "model")
    digest = "sha256:" + hashlib.sha256((context / "model" / "SHA256SUMS").read_bytes()).hexdigest()
    (context / "Dockerfile").write_text(
        f"FROM {our_image}\nCOPY model/ /app/hn_network/model/\nLABEL org.hnsegmenter.model.digest={digest}\n"
    )
    client.images.build(path=str(context), tag="hn-segmenter-two-organs:test", rm=True)
    client.close()
    return "hn-segmenter-two-organs:test"


def _docker_client():
    import docker

    try:
        client = docker.from_env(timeout=600)
        client.images.get(BASE_IMAGE)
    except docker.errors.DockerException:
        require(False, f"a Docker engine with the image {BASE_IMAGE} (.ci/docker-base.sh)")
    return client
