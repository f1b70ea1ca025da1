"""The library as pip installs it is whole: what the sdist and the wheel hold segments, and builds the image, without
the source tree. The packages it needs are those of this environment, so that none is fetched but setuptools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from Testing.conftest import BASE_IMAGE
from Testing.machine import ROOT, require

SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "HNSegmenter/HNSegmenterLib", "docker")
FOR_THE_IMAGE = {"Dockerfile", ".dockerignore", "requirements.txt"}
SDIST = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
WHEEL = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from the sdist, as `python -m build` does."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for name in SOURCES:
        _copy(ROOT / name, sources / name)
    backend = folder / "backend"
    got = _run([sys.executable, "-m", "pip", "install", "--quiet", "--target", backend, "setuptools>=77"], folder)
    require(got.returncode == 0, "a package index with setuptools 77 or newer")
    environment = {**os.environ, "PYTHONPATH": str(backend)}
    for code, where in ((SDIST, sources), (WHEEL, folder / "unpacked")):
        made = _run([sys.executable, "-c", code, folder / "out"], where, environment)
        assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
        if code == SDIST:
            (sdist,) = (folder / "out").glob("*.tar.gz")
            shutil.unpack_archive(sdist, folder, filter="data")
            (folder / sdist.name.removesuffix(".tar.gz")).rename(folder / "unpacked")
            shutil.rmtree(sources)
    return next((folder / "out").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of a fresh virtual environment with the wheel; other packages come from this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python = _program(folder, "python")
    done = _run([sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel], folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (_packages(folder) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "site", "*.crt"))
    else:
        shutil.copy(source, target)


def _program(folder: Path, name: str) -> Path:
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    return Path(shutil.which(name, path=scripts) or scripts / name)


def _packages(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


def _run(command: list, where: Path, environment: dict | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(part) for part in command], cwd=where, env=environment, capture_output=True, text=True, check=False
    )


def _alone() -> dict[str, str]:
    """The environment without what could lead to the sources."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HNSEG_NETWORK")}


def _tracked(folder: str) -> set[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {Path(line).relative_to(folder).as_posix() for line in listed.stdout.splitlines()}


def test_wheel_holds_every_file_of_library_and_network_and_no_other(wheel):
    if not (ROOT / ".git").exists():
        pytest.skip("without git nobody knows which files belong to the library")
    network = {f for f in _tracked("docker") if f == "predict.py" or f.startswith("hn_network/")} | FOR_THE_IMAGE
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {f"HNSegmenterLib/{file}" for file in _tracked("HNSegmenter/HNSegmenterLib")}
    assert held == wanted | {f"HNSegmenterLib/network/{file}" for file in network}


def test_installed_wheel_segments_without_the_sources(installed, tmp_path):
    code = "from HNSegmenterLib.runtimes.local import network_folder; print(network_folder())"
    found = _run([_program(installed, "python"), "-c", code], tmp_path, _alone())
    assert Path(found.stdout.strip()) == _packages(installed) / "HNSegmenterLib" / "network", found.stderr
    command = [_program(installed, "hn-segmenter"), "demo", "--runtime", "local", "--json", "--output", "out"]
    done = _run(command, tmp_path, _alone())
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    last = json.loads(done.stdout.splitlines()[-1])
    assert {organ["name"] for organ in last["organs"] if organ["status"] == "found"} >= {"Brainstem", "SpinalCord"}
    assert (tmp_path / "out" / "rtstruct.dcm").is_file()


@pytest.mark.docker
def test_installed_wheel_builds_the_same_image_as_the_sources(installed, our_image, tmp_path):
    command = [_program(installed, "hn-segmenter"), "image", "build", "--base", BASE_IMAGE, "--json"]
    command += ["--tag", "hn-segmenter:wheel", "--network", "host"]
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        command += ["--ca-bundle", bundle]
    built = _run(command, tmp_path, _alone())
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    import docker

    client = docker.from_env(timeout=600)
    try:
        assert client.images.get("hn-segmenter:wheel").id == client.images.get(our_image).id
        client.images.remove("hn-segmenter:wheel")
    finally:
        client.close()
