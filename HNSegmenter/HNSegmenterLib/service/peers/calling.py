"""The AE title that this machine calls with: systems know each other by AE title and address together."""

from __future__ import annotations

import socket
from contextlib import suppress

from ..settings import ServiceSettings


def calling_ae(settings: ServiceSettings, node_host: str) -> str:
    """That of this machine's entry in [workstations]; the node's own where there is none, and on the node's machine."""
    return of_address(settings, address_towards(node_host), node_host)


def of_address(settings: ServiceSettings, address: str, node_host: str) -> str:
    """As calling_ae, for a machine that calls the node from `address` (IPv4, "" if unknown)."""
    if address != _resolved(node_host):
        for workstation in settings.workstations.values():
            if address and address == _resolved(workstation.host):
                return workstation.ae_title
    return settings.node.ae_title


def address_towards(host: str) -> str:
    """Our IPv4 address in a connection to the host, "" if there is no way to it. Nothing is sent."""
    with suppress(OSError, UnicodeError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))
        return probe.getsockname()[0]
    return ""


def _resolved(host: str) -> str:
    with suppress(OSError, UnicodeError):
        return socket.gethostbyname(host)
    return host
