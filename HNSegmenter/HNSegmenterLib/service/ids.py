"""Ids as people type them: shown as short as tells them apart, and taken by any beginning that does."""

from __future__ import annotations

from collections.abc import Collection, Iterable

SHOWN = 8  # characters, at least
NAMED = 6  # candidates of an ambiguous beginning that a sentence names


def shortened(ids: Collection[str]) -> dict[str, str]:
    """Each id's beginning that is no other's, of SHOWN characters or, where that is not enough, more."""
    ordered = sorted(set(ids))
    short = {}
    for before, own, after in zip(["", *ordered], ordered, [*ordered[1:], ""]):
        length = 1 + max(_common(own, before), _common(own, after))
        short[own] = own[: max(SHOWN, length)]
    return short


def meant(typed: str, ids: Iterable[str]) -> list[str]:
    """The ids that begin so, or the one that is just so."""
    fitting = [one for one in ids if one.startswith(typed)]
    return [typed] if typed in fitting else fitting


def listed(ids: Collection[str]) -> str:
    """The first of several ids, for a sentence."""
    short = list(shortened(ids).values())
    return ", ".join(short[:NAMED]) + (", ..." if len(short) > NAMED else "")


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((place for place, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
