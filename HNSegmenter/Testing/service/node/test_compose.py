"""docker/compose.yaml with a real engine: comes up from service.toml and a password file alone,
takes a patient, delivers.

With HTTPS in front, as where Slicer runs on another machine: its certificates are the only other files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from HNSegmenterLib.sample import write_dicom
from HNSegmenterLib.service.node import https_proxy as https_config
from Testing.machine import ROOT, free_port, require, require_program, wait_for
from Testing.rtstruct.help import dciodvfy_complaints
from Testing.runtimes.docker.daemon import make_certificates
from Testing.runtimes.docker.fixtures import engine
from Testing.runtimes.docker.support import BASE
from Testing.service.fixtures import OrthancNode, listens, planning_system, send, write_service_toml

WORKER_USER = 10001
SOURCES = (
    ".dockerignore",
    "pyproject.toml",
    "constraints.txt",
    "HNSegmenter/HNSegmenterLib",
    "docker/.env",
    "docker/compose.yaml",
    "docker/node",
    "docker/predict.py",
    "docker/hn_network",
)
pytestmark = pytest.mark.docker


class Compose:
    """One project of docker-compose on a copy of the sources; `site` is its folder with service.toml."""

    def __init__(self, sources: Path, site: Path):
        self.name = f"hnseg-test-{os.getpid()}"
        self._file = sources / "docker" / "compose.yaml"
        self._environment = {
            **os.environ,
            "HNSEG_SITE": str(site),
            "HNSEG_BASE_IMAGE": BASE,
            "HNSEG_BUILD_NETWORK": "host",
            "HNSEG_TAG": "test",
            "COMPOSE_PROFILES": "https",
            "HNSEG_CA_BUNDLE": "docker/proxy.crt" if (sources / "docker" / "proxy.crt").exists() else "",
        }

    def __call__(self, *arguments: str, ok: bool = True) -> str:
        command = [
            require_program("docker-compose"),
            "--ansi",
            "never",
            "-p",
            self.name,
            "-f",
            str(self._file),
            *arguments,
        ]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, said[-3000:]
        return said

    def container(self, service: str) -> str:
        return f"{self.name}_{service}_1"


@pytest.fixture(scope="module")
def sources(engine, tmp_path_factory) -> Path:
    """What the images are built from, and the images."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        shutil.copy(bundle, folder / "docker" / "proxy.crt")
    Compose(folder, folder)("build")
    return folder


@pytest.fixture
def compose(sources, tmp_path, planning_system, engine):
    """A site with the planning system as destination; after the test, nothing of it is left."""
    require(shutil.which("openssl") is not None, "the program openssl")
    make_certificates(tmp_path / "site")
    config = write_service_toml(
        tmp_path / "site",
        planning_port=planning_system.port,
        node={"url": f"https://127.0.0.1:{free_port()}", "ca_file": "ca.pem"},
        https={"certificate": "server-cert.pem", "key": "server-key.pem", "orthanc_port": free_port()},
        worker={"folder": "/var/lib/hn-segmenter", "poll_s": 0.5},
    )
    for secret in ("node-password", "server-key.pem"):
        os.chown(config.parent / secret, WORKER_USER, -1)
    project = Compose(sources, config.parent)
    yield project
    project("down", "--volumes", "--timeout", "20")
    label = {"label": f"com.docker.compose.project={project.name}"}
    assert engine.client.containers(all=True, filters=label) == []
    assert (engine.client.volumes(filters=label)["Volumes"] or []) == []


def cli(*arguments: str) -> dict:
    """The result of a command of this computer's hn-segmenter, as the inbox in Slicer asks for it."""
    done = subprocess.run(
        [sys.executable, "-m", "HNSegmenterLib", *arguments, "--json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_up_with_the_two_files_takes_a_patient_and_delivers(compose, planning_system, engine, tmp_path):
    ct = sorted(write_dicom(tmp_path / "ct").iterdir())
    compose("up", "-d", "--scale", "worker=2")
    config = tmp_path / "site" / "service.toml"
    node = OrthancNode(config)  # not started: the container is, with the same service.toml
    wait_for(lambda: health(engine, compose, "node") == "healthy", 120)
    wait_for(lambda: listens(https_config.url_port(node.settings.node)), 60)
    assert node.get("/system", auth=None).status_code == 401

    assert send(ct, node.port).returncode == 0
    wait_for(lambda: [row["state"] for row in patients(config)] == ["waiting"], 300)
    assert len(node.instances()) == len(ct)  # no RTSTRUCT among them
    assert planning_system.received() == []

    compose("restart", "node")
    wait_for(lambda: health(engine, compose, "node") == "healthy", 120)
    (row,) = patients(config)
    cli("inbox", "fetch", row["series"], "--config", str(config), "--out", str(tmp_path / "review"))
    rtstruct = tmp_path / "review" / "results" / "rtstruct.dcm"
    cli(
        "inbox",
        "approve",
        row["series"],
        "--config",
        str(config),
        "--reviewer",
        "TEST Reviewer",
        "--rtstruct",
        str(rtstruct),
    )
    wait_for(lambda: [row["state"] for row in patients(config)] == ["sent"], 120)

    (delivered,) = planning_system.received()
    structures = pydicom.dcmread(delivered)
    original = pydicom.dcmread(ct[0])
    assert structures.Modality == "RTSTRUCT" and structures.ApprovalStatus == "UNAPPROVED"
    assert structures.StudyInstanceUID == original.StudyInstanceUID
    assert structures.FrameOfReferenceUID == original.FrameOfReferenceUID
    assert dciodvfy_complaints(delivered) == []

    queue = compose(
        "exec", "-T", "worker", "hn-segmenter", "queue", "list", "--config", "/etc/hn-segmenter/service.toml", "--json"
    )
    (job,) = json.loads(queue.splitlines()[-1])["jobs"]  # of two workers, one did it
    assert (job["series_uid"], job["state"], job["attempts"]) == (original.SeriesInstanceUID, "sent", 1)
    for text in (queue, compose("logs")):
        for secret in (str(original.PatientName), original.PatientID, node.auth[1]):
            assert secret and secret not in text
    for service in ("node", "worker"):
        inside = engine.client.inspect_container(compose.container(service))
        assert inside["Config"]["User"].startswith(str(WORKER_USER))
        assert inside["HostConfig"]["ReadonlyRootfs"] and inside["HostConfig"]["CapDrop"] == ["ALL"]
        assert inside["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def patients(config: Path) -> list[dict]:
    return cli("inbox", "list", "--config", str(config))["patients"]


def health(engine, compose: Compose, service: str) -> str:
    return engine.client.inspect_container(compose.container(service))["State"]["Health"]["Status"]


def test_without_a_password_nothing_comes_up_and_the_log_says_why(compose, engine, tmp_path):
    (tmp_path / "site" / "node-password").write_text("")
    compose("up", "-d", ok=False)
    assert "password file" in compose("logs", "configure")
    running = engine.client.containers(filters={"label": f"com.docker.compose.project={compose.name}"})
    assert running == []
