"""What a collection must not hold: every token of its CTs and structure sets that could say who a patient is."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

TELLING = {"PN", "LO", "SH", "ST", "LT", "UT", "UI", "DA", "TM", "DT", "AE", "AS"}
ALLOWED = re.compile(r"1\.2\.840\.10008\..*|CT|HFS|AXIAL|ORIGINAL|PRIMARY|MONOCHROME2|HU|SCT|UNAPPROVED|AUTOMATIC|"
                     r"SEMIAUTOMATIC|MANUAL|ORGAN|CLOSED_PLANAR|RTSTRUCT")  # fmt: skip
LEAST = 4  # characters of a token that means something
WORDS = re.compile(r"[\s^=:\\]+")


def tokens(paths: Iterable[Path], keep: Iterable[str] = ()) -> set[str]:
    """Texts, names, dates, times and UIDs of DICOM files; keep: what a collection may hold (organs, the model)."""
    found: set[str] = set()
    for path in paths:
        _gather(pydicom.dcmread(path, stop_before_pixels=True), found)
    allowed = set(keep)
    return {text for text in found if len(text) >= LEAST and not ALLOWED.fullmatch(text) and text not in allowed}


def _gather(dataset: Dataset, found: set[str]) -> None:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value or []:
                _gather(item, found)
        elif element.VR in TELLING:
            values = element.value if element.VM > 1 else [element.value]
            for value in values:  # whole, and what in it is no word of a language: our own sentences are in the sets
                words = WORDS.split(str(value))
                found.update({str(value)}, (word for word in words if re.search(r"\d|secret", word, re.IGNORECASE)))


def everything(folder: Path) -> bytes:
    """All that a folder holds: names, bytes and what compressed files unpack to, in lower case."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            content = path.read_bytes()
            parts.append(content)
            if path.suffix == ".gz":
                parts.append(gzip.decompress(content))
    return b"\n".join(parts).lower()


def leaked(secrets: Iterable[str], folder: Path) -> list[str]:
    """The tokens that a folder holds."""
    held = everything(folder)
    return sorted(secret for secret in secrets if secret.lower().encode() in held)
