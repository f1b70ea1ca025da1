"""orthanc.json from service.toml: only what the workflow needs is open, whatever Orthanc's own defaults are.

Made for Orthanc 1.10 and newer. Two of its habits shape this file: it compares a peer's host letter by letter with the
address that calls, so that names are resolved here; and it knows one host an AE title. HTTPS is not its own
(https_proxy.py).
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...errors import HNSegmenterError, WrongUsage
from ..settings import ServiceSettings
from . import https_proxy
from .https_proxy import check_pair, url_port

NGINX_FILE = "nginx.conf"
MINIMUM_PASSWORD = 10
NO_PORT = 104  # of a peer that nobody connects to; Orthanc wants one
OPERATIONS = ("Echo", "Store", "Find", "FindWorklist", "Get", "Move", "StorageCommitment")

# Off for everybody; what a known peer may is in its own entry.
SHUT: dict[str, Any] = {
    "DicomAlwaysAllowEcho": False,
    "DicomAlwaysAllowStore": False,
    "DicomAlwaysAllowFind": False,
    "DicomAlwaysAllowFindWorklist": False,
    "DicomAlwaysAllowGet": False,
    "DicomAlwaysAllowMove": False,
    "DicomCheckCalledAet": True,
    "DicomCheckModalityHost": True,
    "DicomModalitiesInDatabase": False,
    "OrthancPeersInDatabase": False,
    "UnknownSopClassAccepted": False,
    "OverwriteInstances": False,
    "CheckRevisions": True,  # of two reviews at once one is refused
    "AuthenticationEnabled": True,
    "SslEnabled": False,
    "ExecuteLuaEnabled": False,
    "OrthancExplorerEnabled": False,
    "WebDavEnabled": False,
    "LuaScripts": [],
    "Plugins": [],  # so no DICOMweb, which would be a second way in and out
    "DeidentifyLogs": True,
    "HttpCompressionEnabled": False,  # CTs hardly shrink, and packing them costs more than the network
    "SyncStorageArea": True,
}


@dataclass(frozen=True)
class Peer:
    """A system that may speak DICOM to the node from one IPv4 address, and what it may ask for.

    port, tls: how the node reaches it for an echo of its own.
    """

    ae_title: str
    address: str
    port: int
    may: frozenset[str]
    tls: bool = False


def configuration(settings: ServiceSettings, storage: Path) -> dict[str, Any]:
    """The content of orthanc.json, with the password in it. storage: Orthanc's folder of DICOM files and index.

    Raises WrongUsage for a password too weak, a host without an address, an AE title at two addresses, or
    certificates that cannot be used.
    """
    node = settings.node
    return {
        "Name": "HN Segmenter",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "StableAge": node.stable_age_s,
        "DicomAet": node.ae_title,
        "DicomPort": node.dicom_port,
        "DicomModalities": {f"peer{number}": _entry(peer) for number, peer in enumerate(peers(settings), 1)},
        "DatabaseServerIdentifier": node.ae_title,
        "HttpPort": settings.https.orthanc_port if settings.https else url_port(node),
        "RemoteAccessAllowed": is_remote(settings) and not settings.https,
        "RegisteredUsers": {node.user: _password(settings)},
        **_dicom_tls(settings),
        **SHUT,
    }


def peers(settings: ServiceSettings) -> list[Peer]:
    """Who may connect: scanners may store; everybody here may ask for an echo; nobody may find, move or get.

    Our own AE title is there for the echo of the connection lights, from the node's own machine.
    """
    node, echo = settings.node, frozenset({"Echo"})
    told = [Peer(node.ae_title, _own_address(settings), node.dicom_port, echo, settings.tls is not None)]
    told += [
        Peer(peer.ae_title, _address(peer.host), peer.port, echo | {"Store"}) for peer in settings.scanners.values()
    ]
    told += [
        Peer(peer.ae_title, _address(peer.host), peer.port, echo, peer.tls) for peer in settings.destinations.values()
    ]
    told += [Peer(peer.ae_title, _address(peer.host), NO_PORT, echo) for peer in settings.workstations.values()]
    by_title: dict[str, Peer] = {}
    for peer in told:
        key = peer.ae_title.strip().upper()  # Orthanc compares AE titles whatever the case
        earlier = by_title.get(key, peer)
        if earlier.address != peer.address:
            raise WrongUsage(
                f"The AE title {peer.ae_title} is given to two hosts ({earlier.address} and {peer.address}); the node "
                "can tell systems apart by their AE titles alone: give each its own."
            )
        by_title[key] = replace(peer, may=peer.may | earlier.may)
    return list(by_title.values())


def is_remote(settings: ServiceSettings) -> bool:
    """Whether the REST interface serves other machines: where the node's url names no loopback address."""
    host = _host(settings)
    try:
        return not ip_address(host).is_loopback
    except ValueError:  # a name; Debian's /etc/hosts has the machine's own at 127.0.1.1
        return host.lower() != "localhost"


def write(settings: ServiceSettings, out: Path, storage: Path | None = None) -> list[Path]:
    """Write orthanc.json and, for HTTPS, nginx.conf beside it, readable by this user alone; returns the files.

    storage: default the folder `node` in worker.folder. Raises WrongUsage (see configuration), HNSegmenterError.
    """
    out = out.absolute()
    values = configuration(settings, (storage or settings.worker.folder / "node").absolute())
    # Orthanc puts environment variables in place of ${NAME} before it reads the JSON: a password may hold one.
    files = {out: json.dumps(values, indent=2).replace("$", "\\u0024") + "\n"}
    if text := https_proxy.configuration(settings):
        files[out.with_name(NGINX_FILE)] = text
    for path, content in files.items():
        _write_private(path, content)
    return list(files)


def _host(settings: ServiceSettings) -> str:
    return urlsplit(settings.node.url).hostname or ""


def _own_address(settings: ServiceSettings) -> str:
    """Where a call of this machine to itself comes from:
    whatever loopback address is called, 127.0.0.1 is the caller."""
    address = _address(_host(settings))
    return "127.0.0.1" if ip_address(address).is_loopback else address


def _entry(peer: Peer) -> dict[str, Any]:
    rights = {f"Allow{operation}": operation in peer.may for operation in OPERATIONS}
    return {"AET": peer.ae_title, "Host": peer.address, "Port": peer.port, "UseDicomTls": peer.tls, **rights}


def _password(settings: ServiceSettings) -> str:
    password = settings.node.password()
    if len(password) < MINIMUM_PASSWORD or password.lower() == settings.node.user.lower():
        raise WrongUsage(
            f"The node's password must have {MINIMUM_PASSWORD} characters or more and not be the user's name: "
            "make one with  openssl rand -base64 24"
        )
    return password


def _address(host: str) -> str:
    """The IPv4 address of a host."""
    try:
        found = {str(item[4][0]) for item in socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        raise WrongUsage(
            f"The host {host} has no IPv4 address that is known here: give its address in its place."
        ) from error
    if len(found) > 1:
        raise WrongUsage(
            f"The host {host} has several addresses ({', '.join(sorted(found))}): give the one that it calls from."
        )
    return found.pop()


def _dicom_tls(settings: ServiceSettings) -> Mapping[str, Any]:
    tls = settings.tls
    if tls is None:
        return {"DicomTlsEnabled": False}
    check_pair(tls.certificate, tls.key)
    try:
        ssl.create_default_context(cafile=str(tls.ca))
    except (OSError, ssl.SSLError) as error:
        raise WrongUsage(
            f"The authority's certificate {tls.ca} cannot be used: give a PEM file as ca in [tls]."
        ) from error
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(tls.certificate),
        "DicomTlsPrivateKey": str(tls.key),
        "DicomTlsTrustedCertificates": str(tls.ca),
        "DicomTlsRemoteCertificateRequired": True,
    }


def _write_private(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise HNSegmenterError(f"{path} cannot be written ({error.strerror}): name another file with --out.") from error
