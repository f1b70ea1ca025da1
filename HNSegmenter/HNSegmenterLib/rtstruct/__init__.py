"""RTSTRUCT: contours on the original CT, complete and checked."""

from .complete import Options, complete
from .export import Report, write_rtstruct
from .file import write
from .names import NameTable
from .pairing import pair
from .placing import placed
from .readback import agreement
from .rois import Roi
from .tracing.contours import SliceContour, trace
from .writer import build

__all__ = [
    "NameTable", "Options", "Report", "Roi", "SliceContour", "agreement", "build", "complete", "pair", "placed",
    "trace", "write", "write_rtstruct",
]  # fmt: skip
