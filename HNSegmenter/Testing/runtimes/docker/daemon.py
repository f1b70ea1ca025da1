"""A second Docker engine for the tests that stop, freeze or fill one: own sockets, own small disk, optional TLS."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import docker
from Testing.machine import free_port, wait_for

DISK = "700m"


class Daemon:
    """Use as a context manager. `url`: its unix socket; `tls_url`: its TLS port, if `certificates` is given.

    Its data lie on a tmpfs of DISK bytes, so that a full disk is a real one.
    """

    def __init__(self, certificates: Path | None = None):
        self.folder = Path(tempfile.mkdtemp(prefix="hnseg-dockerd-", dir="/run"))
        self.data = self.folder / "data"
        self.url = f"unix://{self.folder / 'docker.sock'}"
        self.tls_url = f"tcp://127.0.0.1:{free_port()}"
        self._bridge = f"hnseg{os.getpid()}"
        self._certificates = certificates
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Daemon:
        with ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.data.mkdir()
            undo.callback(self._unmount)
            _run("mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.data))
            _run("ip", "link", "add", "name", self._bridge, "type", "bridge")
            undo.callback(_run, "ip", "link", "delete", self._bridge)
            _run("ip", "address", "add", "198.51.100.1/24", "dev", self._bridge)
            undo.callback(self._stop)
            self.start()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self._undo.close()

    def _stop(self) -> None:
        if self._process.poll() is not None:
            self.start()  # a killed engine leaves containers and containerd running: only an engine ends them
        client = docker.APIClient(self.url, version="1.41")
        for container in client.containers(all=True):
            client.remove_container(container["Id"], v=True, force=True)
        client.close()
        self._process.terminate()
        self._process.wait(30)

    def _unmount(self) -> None:
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(str(self.folder))]):
            _run("umount", "-l", mount)

    def start(self) -> None:
        command = [
            "dockerd",
            "--host",
            self.url,
            "--data-root",
            str(self.data),
            "--exec-root",
            str(self.folder / "exec"),
        ]
        # Not --bridge=none: with that, dockerd deletes the bridge docker0 of the engine that was there before.
        command += [
            "--pidfile",
            str(self.folder / "pid"),
            "--bridge",
            self._bridge,
            "--iptables=false",
            "--ip-masq=false",
        ]
        command += ["--containerd-namespace", "hnseg-test", "--containerd-plugins-namespace", "hnseg-test-plugins"]
        if self._certificates:
            command += ["--host", self.tls_url, "--tlsverify"]
            for option, name in (("--tlscacert", "ca"), ("--tlscert", "server-cert"), ("--tlskey", "server-key")):
                command += [option, str(self._certificates / f"{name}.pem")]
        (self.folder / "pid").unlink(missing_ok=True)
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        wait_for(self._answers, 60)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            client = docker.APIClient(self.url, version="1.41")
            return client.ping()
        except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
            return False

    def kill(self) -> None:
        """As a crash or a power cut of the engine: its containers run on, as Docker has it."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def take_image(self, source: docker.APIClient, tag: str) -> None:
        """Copy an image from another engine."""
        client = docker.APIClient(self.url, version="1.41")
        for _ in client.load_image(source.get_image(tag)):
            pass
        client.close()

    def fill(self) -> Path:
        """Use up the disk; returns the file to delete again."""
        ballast = self.data / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        return ballast


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def make_certificates(folder: Path) -> Path:
    """CA, server and client certificates for 127.0.0.1 as dockerd and DOCKER_CERT_PATH want them."""
    folder.mkdir(parents=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=TEST CA")
    for name, usage in (("server-", "serverAuth"), ("", "clientAuth")):
        openssl("req", *new_key, "-keyout", f"{name}key.pem", "-out", "request.pem", "-subj", f"/CN=TEST {usage}")
        (folder / "extensions").write_text(f"subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        openssl(
            "x509",
            "-req",
            "-in",
            "request.pem",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca-key.pem",
            "-CAcreateserial",
            "-out",
            f"{name}cert.pem",
            "-days",
            "2",
            "-extfile",
            "extensions",
        )
    return folder


class Proxy:
    """A unix socket in front of an engine's, whose connections can be cut while the engine lives."""

    def __init__(self, folder: Path, target: str):
        self.path = str(folder / "proxy.sock")
        self.url = f"unix://{self.path}"
        self._target = target.removeprefix("unix://")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self.path)
        self._server.listen(32)
        self._pairs: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            self._pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self) -> None:
        """Break every connection that is open now; new ones work."""
        pairs, self._pairs = self._pairs, []
        for end in pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        self._server.close()
        Path(self.path).unlink()
        self.cut()
