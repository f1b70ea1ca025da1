"""DICOM reading: finds the planning CT in a folder, refuses what would give a wrong contour, reads the rest right.

The names below are loaded when first used, so that importing the package stays cheap.
"""

from importlib import import_module

_HOMES = {
    "each_file": "find",
    "find_series": "find",
    "inventory_of": "find",
    "Inventory": "find",
    "Series": "find",
    "read_planning_ct": "reading",
    "read_series": "reading",
    "PlanningCT": "reading",
    "CtSlice": "reading",
}
__all__ = tuple(sorted(_HOMES))


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
