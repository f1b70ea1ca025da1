"""Plausibility checks of a segmentation."""

from .checks import run_checks
from .kinds import is_measured, shown
from .patient_position import LOOKS

__all__ = ["LOOKS", "is_measured", "run_checks", "shown"]
