"""Pixels of one slice in Hounsfield units, whatever the transfer syntax."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from ..errors import UnusableInput
from .headers import Header, value_of

BITS_ALLOCATED = 16
AIR_HU = -1024
LITTLE_ENDIAN = {
    "1.2.840.10008.1.2",  # Implicit VR Little Endian
    "1.2.840.10008.1.2.1",  # Explicit VR Little Endian
}
DEFLATED = "1.2.840.10008.1.2.1.99"  # Deflated Explicit VR Little Endian
BIG_ENDIAN = "1.2.840.10008.1.2.2"  # Explicit VR Big Endian
NATIVE = LITTLE_ENDIAN | {DEFLATED, BIG_ENDIAN}
COMPRESSED = {  # decoded by GDCM, inside SimpleITK
    "1.2.840.10008.1.2.4.51",  # JPEG Extended, 12 bit (lossy)
    "1.2.840.10008.1.2.4.57",  # JPEG Lossless, Process 14
    "1.2.840.10008.1.2.4.70",  # JPEG Lossless, Process 14, Selection Value 1
    "1.2.840.10008.1.2.4.80",  # JPEG-LS lossless
    "1.2.840.10008.1.2.4.81",  # JPEG-LS near-lossless
    "1.2.840.10008.1.2.4.90",  # JPEG 2000 lossless
    "1.2.840.10008.1.2.4.91",  # JPEG 2000
    "1.2.840.10008.1.2.5",  # RLE
}
LOSSY = {"1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"}


def can_decode(syntax: str | None) -> bool:
    """A file without a stated syntax is a native one, and pydicom tells from the bytes which;
    so it does where both are named."""
    return syntax is None or syntax in NATIVE | COMPRESSED or set(syntax.split("\\")) <= LITTLE_ENDIAN


def is_compressed(header: Header) -> bool:
    return header.transfer_syntax in COMPRESSED


def syntax_name(syntax: str) -> str:
    """What a file that cannot be decoded is, for a sentence; nothing is quoted that is no UID."""
    if "\\" in syntax:
        return "names several transfer syntaxes"
    return (
        f"is compressed as {UID(syntax).name}"
        if re.fullmatch(r"[0-9.]+", syntax)
        else "names an unknown transfer syntax"
    )


def read_hu(header: Header) -> np.ndarray:
    """The slice as int16 HU [row, column], padding set to -1024.

    Raises UnusableInput where pixels are missing, cut off or cannot be decoded.
    """
    rows, columns = int(header.needed("Rows")), int(header.needed("Columns"))
    try:
        dataset = pydicom.dcmread(header.path, force=True)
    except Exception as error:  # the header was read before: only a cut or vanished file gets here
        raise _unusable(header.path, "cannot be read to its end") from error
    pixels = value_of(dataset, "PixelData")
    if not pixels or not isinstance(pixels, bytes):
        raise _unusable(header.path, "has no pixel data")
    if dataset["PixelData"].is_undefined_length and not is_compressed(header):
        raise _unusable(
            header.path, "has compressed pixels, but its Transfer Syntax UID does not say how they are compressed"
        )
    hu = _decoded(header.path) if is_compressed(header) else _native(pixels, header, rows, columns)
    if hu.shape != (rows, columns):
        raise _unusable(
            header.path, f"holds {hu.shape[1]} x {hu.shape[0]} pixels where its header says {columns} x {rows}"
        )
    padding = _padding_hu(dataset, header)
    if padding is not None:
        low, high = padding
        hu[(hu >= low) & (hu <= high)] = AIR_HU
    limits = np.iinfo(np.int16)
    return np.clip(hu, limits.min, limits.max).astype(np.int16)


def _native(data: bytes, header: Header, rows: int, columns: int) -> np.ndarray:
    if len(data) < rows * columns * 2:
        raise _unusable(header.path, f"is cut off: {len(data)} bytes of pixels where {rows * columns * 2} belong")
    order = ">" if header.transfer_syntax == BIG_ENDIAN else "<"
    kind = "i2" if header.number("PixelRepresentation") else "u2"
    stored = np.frombuffer(data, order + kind, rows * columns).reshape(rows, columns)
    return _rescale(_stored_bits(stored, header), header)


def _stored_bits(pixels: np.ndarray, header: Header) -> np.ndarray:
    """Only the bits of the image: others may hold an overlay. int32, sign extended."""
    stored, high = int(header.needed("BitsStored")), int(header.needed("HighBit"))
    left, right = BITS_ALLOCATED - 1 - high, BITS_ALLOCATED - stored
    if left or right:
        pixels = (pixels << left) >> right
    return pixels.astype(np.int32)


def _rescale(stored: np.ndarray, header: Header) -> np.ndarray:
    slope, intercept = header.needed("RescaleSlope"), header.needed("RescaleIntercept")
    if slope == 1 and intercept == int(intercept):
        return stored + np.int32(intercept)
    return np.rint(stored * slope + intercept).astype(np.int32)


def _decoded(path: Path) -> np.ndarray:
    """Compressed pixels as HU, int32 or float64: GDCM applies the file's own rescale."""
    import SimpleITK as sitk

    try:
        str(path).encode()  # SimpleITK takes the whole process down for a path that is no Unicode
    except UnicodeEncodeError:
        raise UnusableInput(
            f"{path} is not a Unicode name, so its compressed pixels cannot be read: rename it."
        ) from None
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    try:
        hu = sitk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unusable(path, "has compressed pixels that cannot be decoded") from error
    return np.rint(hu.reshape(hu.shape[-2:])).astype(np.int32)


def _padding_hu(dataset: Dataset, header: Header) -> tuple[int, int] | None:
    """HU range (low, high) of the pixels outside the scan, or None.

    A padding value inside the range of a body's HU is a writer's mistake and
    would punch holes into tissue: not applied.
    """
    ends = [value_of(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    ends = [_as_stored(value, header) for value in ends if isinstance(value, int)]
    if not ends:
        return None
    values = _rescale(np.array(ends, np.int32), header)
    low, high = int(values.min()), int(values.max())
    return (low, high) if high < -900 or low > 3071 else None


def _as_stored(value: int, header: Header) -> int:
    """Padding is often written with the other sign than the pixels."""
    value &= 0xFFFF
    return value - 0x10000 if header.number("PixelRepresentation") and value >= 0x8000 else value


def _unusable(path: Path, reason: str) -> UnusableInput:
    return UnusableInput(f"{path.name} {reason}. Export the series again from the scanner.")
