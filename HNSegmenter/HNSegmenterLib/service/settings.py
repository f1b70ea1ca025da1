"""service.toml: what the physicist fills in once for Orthanc, the worker, the inbox and the connections."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import WrongUsage
from .settings_values import APPROVED, THE_SHIPPED_ONE, UNAPPROVED, ModelChoices, part

__all__ = [
    "APPROVED",
    "UNAPPROVED",
    "Destination",
    "NodeSettings",
    "Rules",
    "Scanner",
    "ServiceSettings",
    "Worker",
    "load",
]

PASSWORD_VARIABLE = "HNSEG_NODE_PASSWORD"


@dataclass(frozen=True)
class NodeSettings:
    """Orthanc: its REST interface as we reach it, and its DICOM side. ae_title: the node's, and ours when we send."""

    url: str = "http://127.0.0.1:8042"
    user: str = "hnsegmenter"
    password_file: Path | None = None
    ca_file: Path | None = None
    ae_title: str = "HNSEG"
    dicom_port: int = 4242
    stable_age_s: int = 60

    def password(self) -> str:
        """HNSEG_NODE_PASSWORD, else the first line of the password file. Raises WrongUsage where there is none."""
        if password := os.environ.get(PASSWORD_VARIABLE):
            return password
        if self.password_file is None:
            raise WrongUsage(
                f"The node's password is missing: name a password_file in [node], or set {PASSWORD_VARIABLE}."
            )
        try:
            password = self.password_file.read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as error:
            raise WrongUsage(
                f"The password file {self.password_file} cannot be read: create it, readable by this user alone."
            ) from error
        if not password:
            raise WrongUsage(
                f"The password file {self.password_file} is empty: write the node's password into its first line."
            )
        return password


@dataclass(frozen=True)
class TlsSettings:
    """DICOM TLS: our certificate and key, and the authority that signed the others'."""

    certificate: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class HttpsSettings:
    """Certificate and key of the node's url, where that is https.
    orthanc_port: Orthanc's own, behind it on loopback."""

    certificate: Path
    key: Path
    orthanc_port: int = 8042


@dataclass(frozen=True)
class Workstation:
    """A machine with Slicer that may ask the node for a C-ECHO."""

    name: str
    ae_title: str
    host: str


@dataclass(frozen=True)
class Scanner:
    """Who may send to the node."""

    name: str
    ae_title: str
    host: str
    port: int = 104


@dataclass(frozen=True)
class Destination:
    """A planning system. approval: of what it gets (APPROVED ones are locked there); automatic: sent without review."""

    name: str
    ae_title: str
    host: str
    port: int = 104
    approval: str = UNAPPROVED
    automatic: bool = False
    tls: bool = False


@dataclass(frozen=True)
class Rules:
    """Which CT series are taken. The patterns are regular expressions, searched whatever the case."""

    description_patterns: tuple[str, ...] = ()
    body_part_patterns: tuple[str, ...] = ()
    minimum_slices: int = 40
    minimum_field_of_view_mm: float = 200.0
    minimum_coverage_mm: float = 120.0


@dataclass(frozen=True)
class Worker:
    """folder: table, queue and audit log. queue: "sqlite", or the URL of a Redis that several machines share.

    model: other models than the one that came with the program (models.parse); several make one structure set.
    lease_s: a worker that was silent for so long is taken for dead. retry_s: before the second attempt; the pause
    doubles with each further one.
    """

    folder: Path = Path("/var/lib/hn-segmenter")
    queue: str = "sqlite"
    runtime: str = "local"
    model: ModelChoices = THE_SHIPPED_ONE
    poll_s: float = 2.0
    attempts: int = 5
    lease_s: float = 60.0
    retry_s: float = 10.0


@dataclass(frozen=True)
class ServiceSettings:
    """All of service.toml. tls and https are None where the file has no such table; the named tables are by name."""

    node: NodeSettings = field(default_factory=NodeSettings)
    tls: TlsSettings | None = None
    https: HttpsSettings | None = None
    scanners: Mapping[str, Scanner] = field(default_factory=dict)
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    workstations: Mapping[str, Workstation] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    worker: Worker = field(default_factory=Worker)


SINGLE = {"node": NodeSettings, "tls": TlsSettings, "https": HttpsSettings, "rules": Rules, "worker": Worker}
NAMED = {"scanners": Scanner, "destinations": Destination, "workstations": Workstation}


def load(path: Path) -> ServiceSettings:
    """Read service.toml; relative paths in it are relative to its folder. Raises WrongUsage naming the key and why."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUsage(
            f"The service's configuration {path} cannot be read ({error.strerror}): name it with --config."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"The service's configuration {path} is not valid TOML ({error}): correct it.") from error
    if unknown := set(values) - {item.name for item in fields(ServiceSettings)}:
        raise WrongUsage(f"{path} has unknown parts ({', '.join(sorted(unknown))}): remove them.")
    parts: dict[str, Any] = {
        name: part(kind, values[name], name, path) for name, kind in SINGLE.items() if name in values
    }
    for name, kind in NAMED.items():
        parts[name] = _named(kind, values.get(name, {}), name, path)
    settings = ServiceSettings(**parts)
    _check_together(settings, path)
    return settings


def _named(kind: type, table: Any, where: str, path: Path) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise WrongUsage(f"{path}: [{where}] holds named tables: write [{where}.NAME].")
    return {name: part(kind, values, f"{where}.{name}", path, name=name) for name, values in table.items()}


def _check_together(settings: ServiceSettings, path: Path) -> None:
    encrypted = [item.name for item in settings.destinations.values() if item.tls]
    if encrypted and settings.tls is None:
        raise WrongUsage(
            f"{path}: destinations.{encrypted[0]} has tls = true, but there is no [tls] with certificate, key and ca."
        )
