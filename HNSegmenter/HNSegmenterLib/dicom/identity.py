"""Whether two DICOM objects are of one patient: compared as DICOM compares, never as texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataset import Dataset

from .verbatim import character_set, content_of

ID, ISSUER, NAME, BIRTH_DATE = "Patient ID", "Issuer of Patient ID", "Patient's Name", "Patient's Birth Date"
ATTRIBUTES = (ID, ISSUER, NAME, BIRTH_DATE)
KEYWORDS = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
_DELIMITERS = set(b"^=\\")  # of a name: after each, the first character set is in force again
UNREADABLE = "\ufffd"  # what pydicom puts for bytes that do not fit


@dataclass(frozen=True)
class Identity:
    """What an object says of its patient, without what does not count: padding, spaces around a value (PS3.5 6.2),
    letter case and empty components of a name (PS3.4 C.2.2.2.1). name: its representations, each of its components."""

    patient_id: str
    issuer: str
    name: tuple[tuple[str, ...], ...]
    birth_date: str

    @classmethod
    def of(cls, dataset: Dataset) -> Identity:
        """Never raises: what does not fit its character set is compared by its bytes."""
        return _identity(tuple(character_set(dataset)), tuple(_stated(dataset, keyword) for keyword in KEYWORDS))

    @property
    def stated(self) -> bool:
        return bool(self.patient_id or self.name)


@dataclass(frozen=True)
class Comparison:
    """decisive: the attribute by which they are two patients, None if they are one;
    others: further ones that differ."""

    decisive: str | None
    others: tuple[str, ...] = ()


def compare(one: Identity, two: Identity) -> Comparison:
    """Patient ID decides, with its issuer where both state one; where not both have an ID, name and birth date do."""
    differing = tuple(
        attribute
        for attribute, differs in (
            (ID, one.patient_id != two.patient_id),
            (ISSUER, bool(one.issuer and two.issuer) and one.issuer != two.issuer),
            (NAME, _names_differ(one.name, two.name)),
            (BIRTH_DATE, bool(one.birth_date and two.birth_date) and one.birth_date != two.birth_date),
        )
        if differs
    )
    deciding = (ID, ISSUER) if one.patient_id and two.patient_id else (NAME, BIRTH_DATE)
    decisive = next((attribute for attribute in differing if attribute in deciding), None)
    if decisive is None and ID in differing and not (one.name and two.name):
        decisive = ID  # of one of them alone, and nothing else says who it is
    return Comparison(decisive, tuple(attribute for attribute in differing if attribute != decisive))


def remark(identities: Iterable[Identity], what: str) -> str | None:
    """A sentence on the attributes in which identities of one patient differ all the same; None if in none."""
    first, *more = identities
    found = {attribute for other in more for attribute in compare(first, other).others}
    if not found:
        return None
    named = " and ".join(attribute for attribute in ATTRIBUTES if attribute in found)
    return f"{what} differ in {named}, though all else says that they are of one patient: check that they are."


def _names_differ(one: tuple[tuple[str, ...], ...], two: tuple[tuple[str, ...], ...]) -> bool:
    """Alphabetic, ideographic and phonetic representation are compared where both have them."""
    shared = [(a, b) for a, b in zip(one, two) if a and b]
    return any(a != b for a, b in shared) if shared else one != two


def _name(text: str) -> tuple[tuple[str, ...], ...]:
    folded = unicodedata.normalize("NFC", text).casefold()
    return _cut(tuple(_cut(tuple(part.strip() for part in group.split("^"))) for group in folded.split("=")))


def _cut(parts: tuple) -> tuple:
    """Without the empty ones at its end."""
    while parts and not parts[-1]:
        parts = parts[:-1]
    return parts


def _stated(dataset: Dataset, keyword: str) -> bytes | str:
    content = content_of(dataset, keyword)
    return str(dataset.get(keyword) or "") if content is None else content


@lru_cache(maxsize=8)  # the slices of a series say the same, most often
def _identity(terms: tuple[str, ...], stated: tuple[bytes | str, ...]) -> Identity:
    try:
        codecs = convert_encodings(list(terms))
    except Exception:  # noqa: BLE001 - pydicom raises several kinds for a damaged one
        codecs = ["latin-1"]
    patient_id, issuer, name, birth_date = (_text(value, codecs) for value in stated)
    return Identity(patient_id, issuer, _name(name), birth_date.replace(".", ""))


def _text(value: bytes | str, codecs: list[str]) -> str:
    if isinstance(value, bytes):
        try:
            text = decode_bytes(value, codecs, _DELIMITERS)
        except Exception:  # noqa: BLE001 - a codec of that name that is for no texts
            text = UNREADABLE
        value = value.decode("latin-1") if UNREADABLE in text else text
    return value.strip("\0 ")
