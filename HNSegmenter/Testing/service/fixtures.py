"""The hospital of the service's tests, of real programs on free ports of loopback: a node (Debian's Orthanc, configured
by orthanc_config), scanners (DCMTK's storescu), planning systems (DCMTK's storescp) and Redis.

Import the fixtures by name: `from Testing.service.fixtures import make_node, node, planning_system, redis_url`.
"""

from __future__ import annotations

import json
import secrets
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from HNSegmenterLib.service.node import https_proxy as https_config
from HNSegmenterLib.service.node import orthanc_config
from HNSegmenterLib.service.settings import ServiceSettings, load
from Testing.machine import free_port, require_program, wait_for

SCANNER, NODE, MONACO = "CT1", "HNSEG", "MONACO"


class Program:
    """A real program that is started, stopped, killed and started again; its output goes into the file `log`."""

    def __init__(self, command: list[str], log: Path, answers: Callable[[], bool], folder: Path):
        self._command, self._answers, self._folder = command, answers, folder
        self.log = log
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
            )
        wait_for(self._ready, 60)

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text(errors="replace")[-3000:]
        return self._answers()

    def stop(self) -> None:
        """As an administrator stops it; nothing happens if it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut."""
        self._end(signal.SIGKILL)

    def _end(self, kind: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(kind)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class OrthancNode(Program):
    """A running Orthanc. config: its service.toml, for `--config`; port: its DICOM port."""

    def __init__(self, config: Path):
        self.config = config
        self.settings: ServiceSettings = load(config)
        self.url, self.port = self.settings.node.url, self.settings.node.dicom_port
        self.auth = (self.settings.node.user, self.settings.node.password())
        folder = config.parent
        self.orthanc_json = folder / "orthanc.json"
        orthanc_config.write(self.settings, self.orthanc_json, folder / "orthanc")
        super().__init__(
            [require_program("Orthanc"), str(self.orthanc_json)], folder / "orthanc.log", self._rest_answers, folder
        )

    def _rest_answers(self) -> bool:
        try:
            return self.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, **options) -> httpx.Response:
        """Ask the REST interface with user and password (another `auth`, None among them, may be given)."""
        options = {"auth": self.auth, "timeout": 10, "verify": trusting(self.settings.node.ca_file), **options}
        return httpx.get(self.url + path, trust_env=False, **options)

    def instances(self) -> list[str]:
        return self.get("/instances").json()

    def series(self) -> list[str]:
        return self.get("/series").json()


def trusting(authority: Path | None) -> ssl.SSLContext | bool:
    return ssl.create_default_context(cafile=str(authority)) if authority else True


def https_proxy(node: OrthancNode) -> Program:
    """The nginx that `node configure` wrote the configuration of."""
    folder = node.config.parent
    command = [
        require_program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / orthanc_config.NGINX_FILE),
        "-e",
        "stderr",
    ]
    return Program(command, folder / "nginx.log", lambda: listens(https_config.url_port(node.settings.node)), folder)


class PlanningSystem(Program):
    """DCMTK's storescp, which takes whatever is sent and writes it into the folder `inbox`."""

    def __init__(self, folder: Path, ae_title: str = MONACO, port: int | None = None, options: Iterable[str] = ()):
        self.ae_title, self.port, self.inbox = ae_title, port or free_port(), folder / f"{ae_title}-inbox"
        self.inbox.mkdir(parents=True)
        command = [
            require_program("storescp"),
            "-v",
            "-aet",
            ae_title,
            "-od",
            str(self.inbox),
            "+B",
            *options,
            str(self.port),
        ]
        super().__init__(command, folder / f"{ae_title}.log", lambda: listens(self.port), folder)

    def received(self) -> list[Path]:
        """DICOM files, oldest first."""
        return sorted(self.inbox.iterdir(), key=lambda path: path.stat().st_mtime_ns)


def listens(port: int) -> bool:
    """Whether some process listens on the port of loopback:
    asked of the system, for a connection would be a peer's log entry."""
    wanted = f":{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(wanted) and line.split()[3] == "0A" for line in lines)


def to_toml(values: dict) -> str:
    """TOML of nested dictionaries: tables of texts, numbers, truth values and lists,
    as deep as service.toml has them."""
    lines, tables = [], []
    for name, table in values.items():
        if any(isinstance(value, dict) for value in table.values()):
            tables += [(f"{name}.{child}", entries) for child, entries in table.items()]
        else:
            tables.append((name, table))
    for name, entries in tables:
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in entries.items()), ""]
    return "\n".join(lines)


def write_service_toml(folder: Path, planning_port: int | None = None, **parts: dict) -> Path:
    """A service.toml for loopback with a password of its own, stable series after 1 s, scanner CT1, destination MONACO.

    parts: further or other values by table, node={"stable_age_s": 5}, scanners={"CT2": {...}}; a part set to None goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "node-password"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(24) + "\n")
    values: dict[str, dict] = {
        "node": {
            "url": f"http://127.0.0.1:{free_port()}",
            "password_file": password.name,
            "ae_title": NODE,
            "dicom_port": free_port(),
            "stable_age_s": 1,
        },
        "scanners": {SCANNER: {"ae_title": SCANNER, "host": "127.0.0.1"}},
        "destinations": {MONACO: {"ae_title": MONACO, "host": "127.0.0.1", "port": planning_port or free_port()}},
        "worker": {"folder": "worker", "poll_s": 0.2},
    }
    for name, part in parts.items():
        values[name] = {**values.get(name, {}), **part} if part is not None else {}
    path = folder / "service.toml"
    path.write_text(to_toml(values))
    return path


def send(
    files: Iterable[Path], port: int, calling: str = SCANNER, called: str = NODE, options: Iterable[str] = ()
) -> subprocess.CompletedProcess:
    """storescu, as a scanner sends; compressed files go as they are."""
    command = [require_program("storescu"), "-v", "-aet", calling, "-aec", called, *options, "127.0.0.1", str(port)]
    return subprocess.run([*command, *map(str, files)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def make_node(tmp_path) -> Iterator[Callable[..., OrthancNode]]:
    """Starts an Orthanc from write_service_toml(**parts); gone after the test."""
    with ExitStack() as undo:

        def make(name: str = "node", **parts) -> OrthancNode:
            made = OrthancNode(write_service_toml(tmp_path / name, **parts))
            if made.settings.https:
                proxy = https_proxy(made)
                undo.callback(proxy.stop)
                proxy.start()
            undo.callback(made.kill)  # a stop takes Orthanc three seconds
            made.start()
            return made

        yield make


@pytest.fixture
def planning_system(tmp_path) -> Iterator[PlanningSystem]:
    system = PlanningSystem(tmp_path / "planning")
    system.start()
    yield system
    system.stop()


@pytest.fixture
def node(make_node, planning_system) -> OrthancNode:
    """A node with scanner CT1 and the destination MONACO, which is planning_system."""
    return make_node(planning_port=planning_system.port)


@pytest.fixture
def redis_url(tmp_path) -> Iterator[str]:
    """An empty Redis that keeps nothing on disk."""
    port = free_port()
    command = [
        require_program("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    server = Program(command, tmp_path / "redis.log", lambda: listens(port), tmp_path)
    server.start()
    yield f"redis://127.0.0.1:{port}/0"
    server.stop()
