"""A model folder: network, organs and preprocessing, which travel together under one digest.

The network's program checks the same before it runs a model. It shares no code with this, since it may run elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UnusableModel
from .description import SHIPPED_WAY, ModelOrgan, Wrong, read_about, read_organs

SUMS, ABOUT, NETWORK, ORGANS = "SHA256SUMS", "model.json", "network.onnx", "organs.json"
SUMMED = (ABOUT, NETWORK, ORGANS)
FILES = (*SUMMED, SUMS)
# Bytes. A network.onnx of 2 GiB or more cannot be: protobuf allows no larger message.
MOST = {SUMS: 64 * 1024, ABOUT: 4 * 1024**2, ORGANS: 4 * 1024**2, NETWORK: 2 * 1024**3}
SUM = re.compile(r"([0-9a-f]{64})\s+(\S.*)")


@dataclass(frozen=True)
class ModelInfo:
    """A model of this computer.

    digest: "sha256:" and that of SHA256SUMS; organs: those that it draws; method: how it is run ("hn-network" or
    "nnunet"); trained: model.json's; size: bytes of all files; shipped: it came with the program; fault: the sentence
    on a damaged one, of which nothing but name, version and folder is known then.
    """

    name: str
    version: str
    digest: str
    folder: Path
    organs: tuple[ModelOrgan, ...] = ()
    method: str = SHIPPED_WAY
    trained: dict = field(default_factory=dict)
    shipped: bool = False
    size: int = 0
    fault: str = ""

    @property
    def title(self) -> str:
        """NAME@VERSION, which `find` knows."""
        return f"{self.name}@{self.version}"

    @property
    def organ_names(self) -> tuple[str, ...]:
        return tuple(organ.name for organ in self.organs)

    def describe(self) -> dict[str, str]:
        """As result.json names a model."""
        return {"name": self.name, "version": self.version, "digest": self.digest}


def read_folder(folder: Path, verify: bool = True, called: str | None = None) -> ModelInfo:
    """A model folder, checked. verify: the network's checksum too, which takes a second for each GB.

    called: what the sentence calls it, if not by its path. Raises UnusableModel.
    """
    try:
        return _read(folder, verify)
    except Wrong as wrong:
        raise UnusableModel(f"The model {called or folder} cannot be used: {wrong}") from wrong
    except OSError as error:
        raise UnusableModel(
            f"The model {called or folder} cannot be read ({error.strerror}): check its permissions and its disk."
        ) from error


def _read(folder: Path, verify: bool) -> ModelInfo:
    size = 0
    for name in FILES:
        if not (folder / name).is_file():
            there = (folder / name).exists()
            raise Wrong(f"{name} is {'no plain file' if there else 'missing'}: copy or export the model again.")
        bytes_ = (folder / name).stat().st_size
        if not 0 < bytes_ <= MOST[name]:
            raise Wrong(f"{name} is {'too large' if bytes_ else 'empty'}: copy or export the model again.")
        size += bytes_
    content = {name: (folder / name).read_bytes() for name in (SUMS, ABOUT, ORGANS)}
    expected = _sums(content[SUMS])
    for name in (ABOUT, ORGANS):
        _compare(name, expected, hashlib.sha256(content[name]).hexdigest())
    if verify:
        with (folder / NETWORK).open("rb") as network:
            _compare(NETWORK, expected, hashlib.file_digest(network, "sha256").hexdigest())
    about = read_about(content[ABOUT])
    organs = read_organs(content[ORGANS], about)
    digest = "sha256:" + hashlib.sha256(content[SUMS]).hexdigest()
    method, trained = about.get("method", SHIPPED_WAY), about.get("trained", {})
    return ModelInfo(about["name"], about["version"], digest, folder, organs, method, trained, size=size)


def _sums(content: bytes) -> dict[str, str]:
    """File -> SHA-256, as sha256sum writes it. Raises Wrong unless it names the three files and nothing else."""
    lines = [SUM.fullmatch(line) for line in content.decode("ascii", "replace").splitlines() if line.strip()]
    expected = {line[2]: line[1] for line in lines if line}
    if None in lines or sorted(expected) != sorted(SUMMED):
        raise Wrong(
            f"SHA256SUMS does not name just {', '.join(SUMMED)}, a line each: export the model again, or write it "
            f"with  sha256sum {' '.join(SUMMED)} > SHA256SUMS"
        )
    return expected


def _compare(name: str, expected: dict[str, str], found: str) -> None:
    if expected[name] != found:
        raise Wrong(f"{name} does not match its checksum, so it is damaged or was changed: copy it again.")


def damaged(name: str, version: str, folder: Path, fault: str) -> ModelInfo:
    return ModelInfo(name, version, "", folder, fault=fault)


def as_shipped(model: ModelInfo) -> ModelInfo:
    return replace(model, shipped=True)
