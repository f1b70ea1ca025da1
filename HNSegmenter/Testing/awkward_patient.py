"""A CT of which libraries have much to say: each value that they would quote is a token that occurs nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

from HNSegmenterLib.silent_libraries import quiet
from Testing.phantoms import compress, write_ct_series
from Testing.raw_elements import put_bytes
from Testing.service.serving import HEAD_SPACING, small_head

SERIES_UID = "1.2.826.0.1.3680043.0977.004"  # which our own sentences may say
_UID = "1.2.826.0.1.3680043.0977001.00"  # components that begin with 0 are none
VALUES = {
    "SpecificCharacterSet": b"ISO_IR XQCHARSET",
    "PatientName": b"XQNAME^\xfc\xfc=XQTWO=XQTHREE=XQFOUR",
    "PatientID": b"XQPATIENT\xff",
    "PatientBirthDate": b"19.7.1970 XQDATE",
    "PatientSex": b"XQSEX longer than it may be ",
    "AccessionNumber": b"XQACCESSION longer than it may be ",
    "SeriesDescription": b"XQDESCRIPTION\xff" + b"." * 66,
    "StudyDescription": b"XQSTUDY " + b"." * 66,
    "StudyTime": b"XQTIME",
    "KVP": b"XQKVP ",
    "InstanceNumber": b"XQNUMBER",
    "PixelPaddingValue": b"XQPAD",
}
TOKENS = re.compile(r".{0,40}(XQ[A-Z]{3}|0977001|19\.7\.1970).*")


def tells_nothing(*texts: str) -> None:
    """None of the tokens is in these texts."""
    for text in texts:
        assert TOKENS.search(text) is None


@quiet()
def write_awkward(folder: Path, slices: slice = slice(24, None)) -> list[Path]:
    """A coarse head of the sample patient's, 64 x 64, one slice of it compressed: the network finds its organs."""
    volume = small_head()[slices]
    tags = {
        "SeriesInstanceUID": SERIES_UID,
        "StudyInstanceUID": f"{_UID}1",
        "FrameOfReferenceUID": f"{_UID}2",
        "SeriesDescription": "",
        "PatientSex": "O",
        "PixelPaddingValue": 0,
    }
    overrides = {k: {"SOPInstanceUID": f"{_UID}3.{k + 1}"} for k in range(len(volume))}
    files = write_ct_series(folder, volume, HEAD_SPACING, tags=tags, overrides=overrides)
    compress(files[3:4], "jpeg-lossless")
    put_bytes(files, VALUES)
    return files
