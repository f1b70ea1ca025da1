"""Who a DICOM connection goes to, and the certificates that it uses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Peer:
    """Another machine's DICOM service. name: what the settings call it; ae_title: the title that it listens to."""

    name: str
    ae_title: str
    host: str
    port: int
    tls: bool = False

    @property
    def address(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}" + (" (TLS)" if self.tls else "")


class TlsFiles(Protocol):
    """PEM files: our certificate, its key, and the authority that issued the peers' certificates."""

    @property
    def certificate(self) -> Path: ...

    @property
    def key(self) -> Path: ...

    @property
    def ca(self) -> Path: ...
