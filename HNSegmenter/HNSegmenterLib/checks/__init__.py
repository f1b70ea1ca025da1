"""Plausibility checks of a segmentation."""

from .checks import run_checks
from .patient_position import LOOKS

__all__ = ["LOOKS", "run_checks"]
