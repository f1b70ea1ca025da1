"""Find the Docker engine and connect to it, and say in one sentence why that fails.

Order: the URL asked for (command line), the settings, DOCKER_HOST, the current Docker context, the usual sockets.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.tls import TLSConfig

import docker

from ..errors import EngineFault, WrongUsage
from .engine_faults import describe_fault

# Docker 20.10 (2020), the oldest engine that this client is tested with.
MINIMUM_API = (1, 41)
# Enough for a busy engine; transfers and log streams have their own limits.
REQUEST_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10
WINDOWS_PIPE = "npipe:////./pipe/docker_engine"
SCHEMES = ("unix", "npipe", "tcp", "http", "https", "ssh")


@dataclass(frozen=True)
class Endpoint:
    """Where an engine is: its URL, who named it, and the certificates for a TLS connection."""

    url: str
    source: str
    tls: TLSConfig | None = field(default=None, repr=False)

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme

    @property
    def remote(self) -> bool:
        """Whether archives pass a network: they are compressed then."""
        return self.scheme not in ("unix", "npipe")

    @property
    def unencrypted(self) -> bool:
        """Whether a CT would pass a network readable by others."""
        host = urlsplit(self.url).hostname or ""
        return self.scheme in ("tcp", "http") and self.tls is None and host not in ("localhost", "127.0.0.1", "::1")

    def __str__(self) -> str:
        return f"{self.url} ({self.source})"


class Client(docker.APIClient):
    """docker-py's client, where a thread can hang up on a stream that it does not read to its end.

    An engine that still sends a container's files keeps that container locked: it could not be removed.
    """

    def __init__(self, *arguments, **named):
        self._own = threading.local()
        super().__init__(*arguments, **named)

    def send(self, request, **named):
        self._own.response = super().send(request, **named)
        return self._own.response

    def hang_up(self) -> None:
        """Close the connection of this thread's last request."""
        if response := getattr(self._own, "response", None):
            with suppress(OSError):  # docker-py's ssh connections say goodbye, even to a process that has ended
                response.close()


@dataclass(frozen=True)
class Engine:
    """A connected engine. The client may be used by several threads."""

    endpoint: Endpoint
    client: Client = field(repr=False)
    version: str
    api_version: str

    def fault(self, error: Exception, doing: str) -> EngineFault:
        """The sentence for a failed request: what was being done, what went wrong, what to do."""
        return describe_fault(error, self.endpoint, doing)

    def describe(self) -> str:
        return f"Docker {self.version} at {self.endpoint}"


def find_endpoint(
    docker_host: str | None = None,
    environ: Mapping[str, str] = os.environ,
    platform: str = sys.platform,
    home: Path | None = None,
) -> Endpoint:
    """The endpoint that the order of this module's first lines gives; nothing is connected.

    Raises WrongUsage for a URL that is none and for a context that is not there.
    """
    if docker_host:
        return _from_url(docker_host, "--docker-host or settings", environ, home)
    if url := environ.get("DOCKER_HOST"):
        return _from_url(url, "DOCKER_HOST", environ, home)
    name = environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name and name != "default":
        return _from_context(name)
    if platform == "win32":
        return Endpoint(WINDOWS_PIPE, "default pipe")
    return Endpoint(_default_socket(environ, home or Path.home()), "default socket")


def _from_url(url: str, source: str, environ: Mapping[str, str], home: Path | None) -> Endpoint:
    url = url.strip()
    scheme = urlsplit(url).scheme
    if scheme not in SCHEMES or "://" not in url:
        raise WrongUsage(
            f"{url} is no address of a Docker engine ({source}): write unix:///path, npipe:////./pipe/name, "
            "tcp://host:2376 or ssh://user@host."
        )
    if scheme in ("tcp", "https") and (tls := _tls_from_environment(environ, home, must=scheme == "https")):
        return Endpoint(url, source, tls)
    return Endpoint(url, source)


def _tls_from_environment(environ: Mapping[str, str], home: Path | None, must: bool) -> TLSConfig | None:
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH as the docker command reads them; None for an open connection."""
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    folder = environ.get("DOCKER_CERT_PATH")
    if not (verify or folder or must):
        return None
    certificates = Path(folder) if folder else (home or Path.home()) / ".docker"
    ca, certificate, key = (certificates / name for name in ("ca.pem", "cert.pem", "key.pem"))
    if verify and not ca.is_file():
        raise WrongUsage(
            f"{ca} is missing, and DOCKER_TLS_VERIFY is set: put ca.pem, cert.pem and key.pem of the engine there, "
            "or name their folder in DOCKER_CERT_PATH."
        )
    pair = (str(certificate), str(key)) if certificate.is_file() and key.is_file() else None
    return TLSConfig(client_cert=pair, ca_cert=str(ca) if ca.is_file() else None, verify=verify or must)


def _from_context(name: str) -> Endpoint:
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # docker-py raises a bare Exception for a damaged file
        raise WrongUsage(
            f"The Docker context {name} cannot be read: make it again with docker context create."
        ) from error
    if context is None or not context.Host:
        raise WrongUsage(
            f"The Docker context {name} does not exist: choose another with docker context use, "
            "or name the engine with --docker-host."
        )
    return Endpoint(context.Host, f"Docker context {name}", context.TLSConfig)


def _default_socket(environ: Mapping[str, str], home: Path) -> str:
    """The first socket that exists: the system's, Docker Desktop's (macOS, Linux), a rootless engine's."""
    usual = Path("/var/run/docker.sock")
    sockets = [usual, home / ".docker/run/docker.sock", home / ".docker/desktop/docker.sock"]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        sockets.append(Path(runtime) / "docker.sock")
    return f"unix://{next((path for path in sockets if path.exists()), usual)}"


def connect(docker_host: str | None = None) -> Engine:
    """Connect to the engine and ask its version.

    Raises WrongUsage for an impossible address; EngineFault with the reason and the fix if no engine answers, it
    refuses us, is too old, or runs Windows containers.
    """
    endpoint = find_endpoint(docker_host)
    if endpoint.scheme == "npipe" and sys.platform != "win32":
        raise WrongUsage(f"{endpoint} is a Windows pipe: name a unix, tcp or ssh address on this system.")
    if endpoint.scheme == "ssh":
        check_ssh(endpoint)
    try:
        about = _client(endpoint, "1.41", CONNECT_TIMEOUT_S).version(api_version=False)
        client = _client(endpoint, about["ApiVersion"], REQUEST_TIMEOUT_S)
    except Exception as error:  # docker-py lets requests', urllib3's, OpenSSL's and its own errors through
        raise describe_fault(error, endpoint, "Connecting") from error
    _check_version(about, endpoint)
    return Engine(endpoint, client, about.get("Version", "?"), about["ApiVersion"])


def _client(endpoint: Endpoint, api_version: str, timeout: int) -> Client:
    client = Client(
        base_url=endpoint.url,
        version=api_version,
        timeout=timeout,
        tls=endpoint.tls or False,
        use_ssh_client=True,  # the user's own keys, agent and ~/.ssh/config
    )
    # requests would put REQUESTS_CA_BUNDLE in place of the engine's own CA, and send the CT through a proxy.
    client.trust_env = False
    return client


def _check_version(about: dict, endpoint: Endpoint) -> None:
    if about.get("Os", "linux") != "linux":
        raise EngineFault(
            f"The Docker engine at {endpoint} runs Windows containers: "
            "choose 'Switch to Linux containers' in Docker Desktop's menu."
        )
    version = tuple(int(part) for part in about["ApiVersion"].split("."))
    if version < MINIMUM_API:
        raise EngineFault(
            f"The Docker engine at {endpoint} is too old (version {about.get('Version', '?')}, API "
            f"{about['ApiVersion']}): update it to Docker 20.10 or newer, or use --runtime local."
        )


def check_ssh(endpoint: Endpoint) -> None:
    """Ask for the engine's version over ssh without any prompt, so that a missing key cannot hang the client."""
    try:
        import paramiko  # noqa: F401 - docker-py would load it, and say less
    except ImportError as error:
        raise EngineFault(
            f"An engine over ssh ({endpoint.url}) needs the package paramiko: pip install 'docker[ssh]'."
        ) from error
    address = urlsplit(endpoint.url)
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"]
    command += ["-l", address.username] if address.username else []
    command += ["-p", str(address.port)] if address.port else []
    command += ["--", address.hostname or "", "docker version --format {{.Server.APIVersion}}"]
    # A file, not a pipe: a ControlMaster that stays in the background would keep a pipe open.
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        code = _run_ssh(command, endpoint, said)
        said.seek(0)
        if code:
            raise EngineFault(_ssh_sentence(said.read(), endpoint.url))


def _run_ssh(command: list[str], endpoint: Endpoint, said: TextIO) -> int:
    """The exit code; all output goes to `said`."""
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=3 * CONNECT_TIMEOUT_S, check=False
        ).returncode
    except FileNotFoundError as error:
        raise EngineFault(f"The program ssh is missing, {endpoint.url} needs it: install an OpenSSH client.") from error
    except subprocess.TimeoutExpired as error:
        raise EngineFault(f"{endpoint.url} does not answer over ssh: check the host and the network.") from error


def _ssh_sentence(said: str, url: str) -> str:
    reasons = {
        "Permission denied": "refuses the login: load your key into ssh-agent or add it to authorized_keys there",
        "Host key verification failed": "is not known: connect once with ssh by hand and check its key",
        "Could not resolve": "cannot be found: check the host's name",
        "Connection refused": "runs no ssh server at that port: check the address",
        "timed out": "does not answer: check the host and the network",
        "not found": "has no docker command: install Docker there",
        "permission denied": "lets you in, but not to its Docker engine: add that user to the group docker",
        "Cannot connect to the Docker daemon": "lets you in, but its Docker engine is not running: start it there",
    }
    for sign, reason in reasons.items():
        if sign in said:
            return f"{url} {reason}."
    last = said.strip().splitlines()[-1:] or ["no reason given"]
    return f"{url} cannot be used over ssh ({last[0]}): try the ssh command by hand."
