"""Bytes of single data elements put into DICOM files and looked for in them, without anything decoding them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from struct import pack

import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag


def put_bytes(files: Iterable[Path], contents: Mapping[str, bytes], vr: bytes | None = None) -> None:
    """Exchange the values of elements that the files have, of a VR with a short length, for these bytes,
    whatever they are.

    vr: what the element is said to be instead, one with a long length (UN); for Explicit VR Little Endian alone.
    """
    for path in files:
        for keyword, content in sorted(
            contents.items()
        ):  # the character set behind the patient: it may be one that pydicom stumbles over
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = dataset.file_meta.TransferSyntaxUID
            start = dataset[keyword].file_tell
            order, width = "little" if syntax.is_little_endian else "big", 4 if syntax.is_implicit_VR else 2
            data = path.read_bytes()
            end = start + int.from_bytes(data[start - width : start], order)
            head = (
                data[: start - 4] + vr + b"\0\0" + pack("<L", len(content))
                if vr
                else data[: start - width] + len(content).to_bytes(width, order)
            )
            path.write_bytes(head + content + data[end:])


def element(keyword: str, vr: bytes, content: bytes) -> bytes:
    """An element as it stands in a file of Explicit VR Little Endian; vr: one with a short length."""
    tag = Tag(tag_for_keyword(keyword))
    return pack("<HH", tag.group, tag.element) + vr + pack("<H", len(content)) + content


def implicit_element(keyword: str, content: bytes) -> bytes:
    """The same in Implicit VR Little Endian."""
    tag = Tag(tag_for_keyword(keyword))
    return pack("<HHL", tag.group, tag.element, len(content)) + content
