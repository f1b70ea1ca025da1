"""An engine behind ssh: a real sshd on loopback, keys made for the test, and a job through it."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from HNSegmenterLib.errors import EngineFault
from HNSegmenterLib.events import CancelToken
from HNSegmenterLib.runtimes import engine as engines
from HNSegmenterLib.runtimes import images
from HNSegmenterLib.runtimes.docker_runtime import DockerRuntime
from Testing.machine import free_port, require, require_program, wait_for
from Testing.runtimes.docker.fixtures import engine, nothing_left
from Testing.runtimes.docker.support import Recorder, image_of, make_job

pytestmark = [pytest.mark.docker, pytest.mark.skipif(sys.platform == "win32", reason="sshd and shell of Linux")]


class Sshd:
    """Lets in who has `folder`/user, as the user who runs the tests.
    The real ssh reads its settings from the folder."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self.trust_host(True)
        (folder / "sshd.conf").write_text(
            f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\nListenAddress 127.0.0.1:{self.port}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\n"
        )
        (folder / "ssh.conf").write_text(
            f"Host *\n  IdentityFile {folder}/user\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile none\n"
            # As docs/docker.md advises: one login for all of the job's connections.
            f"  ControlMaster auto\n  ControlPath {folder}/master\n  ControlPersist 3\n"
        )
        wrapper = folder / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh.conf "$@"\n')
        wrapper.chmod(0o755)
        log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [shutil.which("sshd"), "-D", "-e", "-f", str(folder / "sshd.conf")], stderr=log
        )
        wait_for(lambda: "listening" in (folder / "log").read_text().lower())

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"

    def trust_host(self, trusted: bool) -> None:
        known = f"[127.0.0.1]:{self.port} {(self.folder / 'host.pub').read_text()}" if trusted else ""
        (self.folder / "known").write_text(known)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def sshd(tmp_path, monkeypatch):
    for program in ("ssh", "sshd", "ssh-keygen"):
        require_program(program)
    require(os.geteuid() == 0, "root, for sshd")
    require(find_spec("paramiko") is not None, "the package paramiko")
    Path("/run/sshd").mkdir(exist_ok=True)
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    server = Sshd(folder)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    yield server
    server.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # docker-py's, when ssh ends before it
def test_job_over_ssh(sshd, engine, nothing_left, tmp_path):
    tag = image_of(engine.client, "ok")
    found = engines.connect(sshd.url)
    assert found.endpoint.remote and not found.endpoint.unencrypted
    job, recorder = make_job(tmp_path / "jobs", "img.nii"), Recorder()
    DockerRuntime(found, images.inspect(found, tag)).run(job, recorder, CancelToken())
    assert (job.results / "Brainstem.nii.gz").is_file()
    assert recorder.stages == ["upload", "read", "write", "download"]
    found.client.close()


def test_without_our_key(sshd):
    (sshd.folder / "authorized").write_text("")
    with pytest.raises(EngineFault, match="refuses the login: load your key into ssh-agent"):
        engines.connect(sshd.url)


def test_unknown_host_key(sshd):
    sshd.trust_host(False)
    with pytest.raises(EngineFault, match="is not known: connect once with ssh by hand"):
        engines.connect(sshd.url)


def test_no_ssh_server(sshd):
    sshd.stop()
    with pytest.raises(EngineFault, match="runs no ssh server at that port"):
        engines.connect(sshd.url)


def test_no_ssh_program(sshd, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineFault, match="The program ssh is missing"):
        engines.connect(sshd.url)
