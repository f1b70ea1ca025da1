"""Texts of many parts, so that they fit on a screen."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from slicer.i18n import tr as _

TIP_LETTERS = 90


def names(organs: Sequence[str], most: int) -> str:
    """The first of many names, and how many more there are."""
    if len(organs) <= most:
        return ", ".join(organs)
    return _("{names} and {number} more").format(names=", ".join(organs[:most]), number=len(organs) - most)


def wrapped(text: str) -> str:
    """For a tool tip, whose lines Qt does not wrap."""
    return "\n".join(textwrap.fill(line, TIP_LETTERS) for line in text.splitlines())
