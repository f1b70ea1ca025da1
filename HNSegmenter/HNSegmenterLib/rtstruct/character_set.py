"""The character set that a data set states (PS3.3 C.12.1.1.2), and which of our own texts it holds."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataset import Dataset

from ..dicom.verbatim import character_set

_SINGLE_BYTE = (
    "6",
    "13",
    "100",
    "101",
    "109",
    "110",
    "126",
    "127",
    "138",
    "144",
    "148",
    "166",
)  # ISO registration numbers
_MULTI_BYTE = ("58", "87", "149", "159")
_ALONE = {"ISO_IR 192", "GB18030", "GBK", *(f"ISO_IR {number}" for number in _SINGLE_BYTE)}
_FIRST = {"", *(f"ISO 2022 IR {number}" for number in _SINGLE_BYTE)}
_FURTHER = {f"ISO 2022 IR {number}" for number in _SINGLE_BYTE + _MULTI_BYTE}
_ASCII = {"", "ISO_IR 6", "ISO 2022 IR 6"}


@dataclass(frozen=True)
class CharacterSet:
    """The values of Specific Character Set; none: plain ASCII."""

    terms: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> CharacterSet:
        """As a data set states it, be it sense or not."""
        return cls(tuple(character_set(dataset)))

    @property
    def known(self) -> bool:
        """Whether it is as the standard has it, so that every reader reads alike what is written in it."""
        if len(self.terms) < 2:
            return set(self.terms) <= _ALONE | _FIRST
        return self.terms[0] in _FIRST and set(self.terms[1:]) <= _FURTHER

    @property
    def codecs(self) -> list[str]:
        """Python's names, as pydicom wants them. Of one that is not known only
        what all have in common is used: ASCII."""
        if not self.known or not self.terms or self.terms == ("ISO_IR 6",):
            return ["ascii"]
        return convert_encodings(list(self.terms))

    def holds(self, text: str) -> bool:
        """Whether a reader of it sees exactly this text."""
        if text.isascii():
            return True
        if self.codecs == ["ascii"] or (self.terms[0] in _ASCII and any("\x80" <= letter <= "\xff" for letter in text)):
            return False  # pydicom takes ISO 646 for Latin-1
        try:
            return text == decode_bytes(encode_string(text, self.codecs), self.codecs, set())
        except (UnicodeError, ValueError):
            return False

    def fitted(self, text: str) -> str:
        """The text with a question mark for each letter that it does not hold."""
        if self.holds(text):
            return text
        fitted = "".join(letter if self.holds(letter) else "?" for letter in text)
        return fitted if self.holds(fitted) else text.encode("ascii", "replace").decode()

    def __str__(self) -> str:
        return "\\".join(self.terms) or "ASCII"
