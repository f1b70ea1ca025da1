"""Pictures and figures of a segmentation."""

from .overview import draw_overview

__all__ = ["draw_overview"]
