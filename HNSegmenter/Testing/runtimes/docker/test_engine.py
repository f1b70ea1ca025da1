"""Which engine is chosen on each system, and the sentence when it cannot be used."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from HNSegmenterLib.errors import EngineFault, WrongUsage
from HNSegmenterLib.runtimes import engine
from HNSegmenterLib.runtimes.engine import connect, find_endpoint
from HNSegmenterLib.runtimes.engine_faults import describe_fault
from Testing.machine import require


@pytest.fixture(autouse=True)
def no_engine_chosen(monkeypatch, tmp_path):
    """Neither the tester's DOCKER_ variables nor contexts play a part."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    config = tmp_path / "docker-config"
    config.mkdir()
    (config / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    return config


def make_context(config: Path, name: str, host: str, current: bool = True) -> Path:
    """A context as `docker context create` writes it; returns the folder of its certificates."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / digest
    meta.mkdir(parents=True)
    endpoint = {"Host": host, "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}}))
    if current:
        (config / "config.json").write_text(json.dumps({"currentContext": name}))
    return config / "contexts" / "tls" / digest / "docker"


class TestChoice:
    def test_order(self, no_engine_chosen):
        make_context(no_engine_chosen, "desktop-linux", "unix:///home/u/.docker/desktop/docker.sock")
        environ = {"DOCKER_HOST": "tcp://gpu:2375"}
        assert find_endpoint("ssh://u@gpu", environ).url == "ssh://u@gpu"
        assert find_endpoint(None, environ).url == "tcp://gpu:2375"
        assert find_endpoint(None, {}).url == "unix:///home/u/.docker/desktop/docker.sock"

    def test_default_is_said(self, tmp_path):
        found = find_endpoint(None, {}, "linux", tmp_path)
        assert str(found) == "unix:///var/run/docker.sock (default socket)"

    def test_docker_desktop_on_windows(self, no_engine_chosen):
        pipe = "npipe:////./pipe/dockerDesktopLinuxEngine"
        assert find_endpoint(None, {}, "win32").url == "npipe:////./pipe/docker_engine"
        make_context(no_engine_chosen, "desktop-linux", pipe)
        found = find_endpoint(None, {}, "win32")
        assert (found.url, found.source, found.remote) == (pipe, "Docker context desktop-linux", False)

    @pytest.mark.parametrize("place", [".docker/run/docker.sock", ".docker/desktop/docker.sock"])
    def test_docker_desktop_without_the_system_socket(self, tmp_path, place, monkeypatch):
        sock = tmp_path / place
        sock.parent.mkdir(parents=True)
        sock.touch()
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: path != Path("/var/run/docker.sock") and exists(path))
        assert find_endpoint(None, {}, "darwin", tmp_path).url == f"unix://{sock}"

    def test_rootless_engine(self, tmp_path, monkeypatch):
        sock = tmp_path / "docker.sock"
        sock.touch()
        exists = Path.exists
        monkeypatch.setattr(Path, "exists", lambda path: path != Path("/var/run/docker.sock") and exists(path))
        assert (
            find_endpoint(None, {"XDG_RUNTIME_DIR": str(tmp_path)}, "linux", tmp_path / "home").url == f"unix://{sock}"
        )

    def test_context_of_the_environment(self, no_engine_chosen):
        make_context(no_engine_chosen, "ward", "ssh://ward@gpu", current=False)
        assert find_endpoint(None, {"DOCKER_CONTEXT": "ward"}).url == "ssh://ward@gpu"

    def test_context_with_certificates(self, no_engine_chosen):
        folder = make_context(no_engine_chosen, "tls", "tcp://gpu:2376")
        folder.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (folder / name).write_text("TEST")
        found = find_endpoint(None, {})
        assert found.tls.ca_cert == str(folder / "ca.pem") and found.tls.verify is True and not found.unencrypted

    def test_context_that_is_not_there(self):
        with pytest.raises(WrongUsage, match="context ward does not exist"):
            find_endpoint(None, {"DOCKER_CONTEXT": "ward"})

    def test_damaged_context(self, no_engine_chosen):
        make_context(no_engine_chosen, "ward", "ssh://ward@gpu")
        next(no_engine_chosen.rglob("meta.json")).write_text("{")
        with pytest.raises(WrongUsage, match="context ward cannot be read"):
            find_endpoint(None, {})

    @pytest.mark.parametrize("url", ["gpu", "gpu:2375", "ftp://gpu", "/var/run/docker.sock", "ssh:gpu"])
    def test_what_is_no_address(self, url):
        with pytest.raises(WrongUsage, match="no address of a Docker engine"):
            find_endpoint(url)

    def test_tls_variables(self, tmp_path):
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (tmp_path / name).write_text("TEST")
        environ = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(tmp_path), "DOCKER_HOST": "tcp://gpu:2376"}
        tls = find_endpoint(None, environ).tls
        assert (tls.ca_cert, tls.cert) == (
            str(tmp_path / "ca.pem"),
            (str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")),
        )
        assert find_endpoint("unix:///x", environ).tls is None

    @pytest.mark.parametrize(
        ("url", "remote", "unencrypted"),
        [
            ("tcp://gpu:2375", True, True),
            ("tcp://127.0.0.1:2375", True, False),
            ("ssh://u@gpu", True, False),
            ("unix:///x", False, False),
            ("npipe:////./pipe/x", False, False),
        ],
    )
    def test_what_passes_a_network(self, url, remote, unencrypted):
        found = find_endpoint(url, {})
        assert (found.remote, found.unencrypted) == (remote, unencrypted)


class TestFaults:
    def test_no_engine(self, tmp_path):
        with pytest.raises(
            EngineFault, match=r"No Docker engine answers at .*install or start Docker, or use --runtime local"
        ):
            connect(f"unix://{tmp_path}/docker.sock")

    def test_engine_not_running(self, tmp_path):
        """The socket's file outlives a crashed engine."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "docker.sock"))
        with pytest.raises(EngineFault, match="No Docker engine answers"):
            connect(f"unix://{tmp_path}/docker.sock")

    def test_not_in_the_group_docker(self, tmp_path):
        require(os.geteuid() == 0, "root, to become another user")
        path = Path("/run") / f"hnseg-test-{os.getpid()}.sock"
        code = (
            "import os, sys\n"
            "from HNSegmenterLib.errors import EngineFault\n"
            "from HNSegmenterLib.runtimes.engine import connect\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try:\n    connect(sys.argv[1])\nexcept EngineFault as fault:\n    print(fault.sentence)\n"
        )
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
            server.listen()
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            try:
                environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PATH": os.environ["PATH"]}
                said = subprocess.run(
                    [sys.executable, "-c", code, f"unix://{path}"],
                    capture_output=True,
                    text=True,
                    env=environment,
                    check=False,
                )
            finally:
                path.unlink()
        assert "add yourself to the group docker" in said.stdout, said.stderr

    def test_unknown_host(self):
        with pytest.raises(EngineFault, match=r"host of the Docker engine .* cannot be found"):
            connect("tcp://gpu.invalid:2376")

    def test_engine_that_never_answers(self, tmp_path, monkeypatch):
        monkeypatch.setattr(engine, "CONNECT_TIMEOUT_S", 0.3)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "docker.sock"))
            server.listen()
            with pytest.raises(EngineFault, match="does not answer in time"):
                connect(f"unix://{tmp_path}/docker.sock")

    @pytest.mark.parametrize(
        ("about", "words"),
        [
            ({"Version": "18.09", "ApiVersion": "1.39", "Os": "linux"}, "too old (version 18.09, API 1.39)"),
            ({"Version": "27.0", "ApiVersion": "1.46", "Os": "windows"}, "Switch to Linux containers"),
            ({"message": "nonsense"}, "cannot be used"),
        ],
    )
    def test_engines_that_we_cannot_use(self, about, words):
        """No such engine runs on Linux: a server that answers as they do."""

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(about).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        with HTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                with pytest.raises(EngineFault) as caught:
                    connect(f"tcp://127.0.0.1:{server.server_port}")
            finally:
                server.shutdown()
        assert words in caught.value.sentence

    @pytest.mark.parametrize(
        ("code", "words"),
        [(2, "No Docker engine answers"), (5, "You may not use"), (231, "does not answer in time")],
    )
    def test_errors_of_a_windows_pipe(self, code, words):
        """As pywin32 raises them: (winerror, function, text in the system's language)."""
        error = type("error", (Exception,), {"__module__": "pywintypes"})(code, "CreateFile", "Nicht gefunden.")
        endpoint = find_endpoint("npipe:////./pipe/docker_engine")
        assert words in describe_fault(error, endpoint, "Connecting").sentence

    def test_pipe_on_linux(self):
        if sys.platform == "win32":
            pytest.skip("pipes work there")
        with pytest.raises(WrongUsage, match="is a Windows pipe"):
            connect("npipe:////./pipe/docker_engine")


class TestSsh:
    """The real ssh program against addresses where nothing lets us in; a login is not tested here."""

    def test_without_paramiko(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "paramiko", None)
        with pytest.raises(EngineFault, match=r"pip install 'docker\[ssh\]'"):
            connect("ssh://127.0.0.1")

    @pytest.mark.parametrize(
        ("stderr", "words"),
        [
            ("u@gpu: Permission denied (publickey,password).", "refuses the login: load your key into ssh-agent"),
            ("Host key verification failed.", "connect once with ssh by hand"),
            ("ssh: Could not resolve hostname gpu: Name or service not known", "cannot be found"),
            ("ssh: connect to host gpu port 22: Connection refused", "runs no ssh server"),
            ("ssh: connect to host gpu port 22: Connection timed out", "does not answer"),
            ("bash: line 1: docker: command not found", "has no docker command"),
            ("Got permission denied while trying to connect to the Docker daemon socket", "group docker"),
            ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "engine is not running"),
            ("something new", "(something new)"),
            ("", "no reason given"),
        ],
    )
    def test_reasons(self, stderr, words):
        assert words in engine._ssh_sentence(stderr, "ssh://u@gpu")
