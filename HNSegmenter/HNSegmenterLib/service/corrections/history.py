"""All that was measured at approvals, in order of time: by organ and model, and as a sentence."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from statistics import fmean, median, stdev

from ...checks.checks import in_sentence
from .measuring import CORRECTED, Change, Correction

LAST, NAMED = 20, 3  # patients that the sentence looks back on; organs that it names
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Entry:
    """One approval. time: with zone."""

    time: datetime
    organs: tuple[Correction, ...]


@dataclass(frozen=True)
class Share:
    """corrected of patients; low, high: Wilson's 95 % interval of the share (E. B. Wilson, JASA 1927)."""

    corrected: int
    patients: int

    @property
    def value(self) -> float:
        return self.corrected / self.patients

    @property
    def interval(self) -> tuple[float, float]:
        n, p = self.patients, self.value
        middle, reach = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
        return max(0.0, (middle - reach) / (1 + Z * Z / n)), min(1.0, (middle + reach) / (1 + Z * Z / n))


@dataclass(frozen=True)
class Figures:
    """One organ by one model. dice: of all patients, with 1 where nothing was touched and 0 where an organ was added or
    removed; volume_change_percent, largest_mm: medians of the edited ones, None without any."""

    organ: str
    model: str
    share: Share
    dice: tuple[float, ...]
    volume_change_percent: float | None
    largest_mm: float | None

    @property
    def mean_dice(self) -> float:
        return fmean(self.dice)


def entries(records: Iterable[object]) -> list[Entry]:
    """Records of correcting.record, oldest first; what is none of them is left out."""
    found = [entry for record in records if (entry := _entry(record)) is not None]
    return sorted(found, key=lambda entry: entry.time)


def sentence(found: Sequence[Entry]) -> str:
    """What was corrected most often lately, for the inbox; "" before the first approval."""
    last = found[-LAST:]
    if not last:
        return ""
    counts = Counter(one.organ for entry in last for one in entry.organs if one.change in CORRECTED)
    whom = f"your last {len(last)} patients" if len(last) > 1 else "your last patient"
    if not counts:
        return f"Nothing was corrected in {whom}."
    named = [f"{in_sentence(organ)} {_times(count)}" for organ, count in counts.most_common(NAMED)]
    return f"Corrected in {whom}: {', '.join(named)}."


def figures(found: Sequence[Entry]) -> list[Figures]:
    """By organ, the one corrected most often first, and by model in order of first use."""
    groups: dict[str, dict[str, list[Correction]]] = {}
    for entry in found:
        for one in entry.organs:
            groups.setdefault(one.organ, {}).setdefault(one.model, []).append(one)
    totals = {organ: _share([one for of_one in by_model.values() for one in of_one]).value
              for organ, by_model in groups.items()}  # fmt: skip
    return [
        _figures(organ, model, groups[organ][model])
        for organ in sorted(groups, key=lambda name: -totals[name])
        for model in models(found)
        if model in groups[organ]
    ]


def models(found: Sequence[Entry]) -> list[str]:
    """In order of first use."""
    return list(dict.fromkeys(one.model for entry in found for one in entry.organs))


def less_often(before: Share, after: Share) -> bool | None:
    """Whether it is corrected less often than before; None where the 95 % interval of the difference holds 0.

    Newcombe's interval of Wilson's (R. G. Newcombe, Statistics in Medicine 1998, method 10).
    """
    (low1, high1), (low2, high2) = before.interval, after.interval
    difference = after.value - before.value
    low = difference - math.hypot(after.value - low2, high1 - before.value)
    high = difference + math.hypot(high2 - after.value, before.value - low1)
    return True if high < 0 else False if low > 0 else None


def nearer(before: Sequence[float], after: Sequence[float]) -> bool | None:
    """Whether the mean Dice is higher than before;
    None where the difference is within twice its standard error, or of fewer than 5 patients."""
    if min(len(before), len(after)) < 5:
        return None
    error = math.sqrt(sum(stdev(part) ** 2 / len(part) for part in (before, after)))
    difference = fmean(after) - fmean(before)
    return None if abs(difference) <= 2 * error else difference > 0


def score(one: Correction) -> float | None:
    """The Dice of an organ; None of an edited one that was not measured."""
    if one.dice is not None:
        return one.dice
    return {Change.UNTOUCHED: 1.0, Change.ADDED: 0.0, Change.REMOVED: 0.0}.get(Change(one.change))


def _entry(record: object) -> Entry | None:
    """None for what another version wrote, or nobody."""
    try:
        known = {field.name for field in fields(Correction)}
        organs = tuple(
            Correction(**{key: value for key, value in organ.items() if key in known})
            for organ in record["organs"]  # type: ignore[index]
        )
        time = datetime.fromisoformat(record["time"])  # type: ignore[index]
        for organ in organs:
            Change(organ.change)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return Entry(time if time.tzinfo else time.replace(tzinfo=UTC), organs)


def _share(group: Sequence[Correction]) -> Share:
    return Share(sum(one.change in CORRECTED for one in group), len(group))


def _figures(organ: str, model: str, group: Sequence[Correction]) -> Figures:
    edited = [one for one in group if one.change == Change.EDITED]
    volumes = [one.volume_change_percent for one in edited if one.volume_change_percent is not None]
    distances = [one.largest_mm for one in edited if one.largest_mm is not None]
    return Figures(
        organ,
        model,
        _share(group),
        tuple(value for one in group if (value := score(one)) is not None),
        median(volumes) if volumes else None,
        median(distances) if distances else None,
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
