"""Which series are segmented: told from their headers, with a reason for each that is not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset

from ...dicom.accept import arrange, check_stack
from ...dicom.choose import images, problem
from ...dicom.contents import common, some
from ...dicom.find import Series
from ...dicom.geometry import COSINE_TOLERANCE, Stack, cosines_of, position_of
from ...dicom.headers import KEYWORDS, Header
from ...errors import UnusableInput
from ...silent_libraries import quiet
from ..settings import Rules

# How many images there should be: of the series, as an archive says it, and of the acquisition, as some scanners do.
ANNOUNCED = ("NumberOfSeriesRelatedInstances", "ImagesInAcquisition")


def judge(instances: dict[str, dict], rules: Rules) -> str:
    """The reason why a series is held, "" where it is to be segmented.

    instances: per instance, its attributes by keyword as texts (node.Node.headers). The reason quotes nothing that was
    typed in by people. Whatever is wrong with single images is found when the series is segmented,
    as by the command line.
    """
    with quiet():
        headers = tuple(Header(Path(name), _dataset(values), None) for name, values in instances.items())
        series = Series(headers[0].text("SeriesInstanceUID"), headers)
        if reason := problem(series):
            return f"The series {reason}."
        return unchosen(series, rules) or _announced(headers) or _extent(series, rules)


def _dataset(values: dict) -> Dataset:
    dataset = Dataset()
    for keyword in (*KEYWORDS, *ANNOUNCED):
        text = values.get(keyword)
        if isinstance(text, str) and text:
            parts = text.split("\\")
            try:
                dataset.add_new(keyword, dictionary_VR(keyword), parts if len(parts) > 1 else text)
            except (ValueError, TypeError, OverflowError):  # a damaged value counts as absent
                continue
    return dataset


def unchosen(series: Series, rules: Rules) -> str:
    """The reason why the patterns do not choose a series, "" where they do.

    A series without a telling tag is taken: what was found in it decides later."""
    told, slices = [], images(series)
    for patterns, keyword, name in (
        (rules.body_part_patterns, "BodyPartExamined", "body part"),
        (rules.description_patterns, "SeriesDescription", "description"),
    ):
        if patterns and (text := common(slices, keyword)):
            if _matches(text, patterns):
                return ""
            told.append(name)
    return (
        f"Its {' and '.join(told)} {'matches' if len(told) == 1 else 'match'} none of the patterns in [rules]."
        if told
        else ""
    )


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def _announced(headers: tuple[Header, ...]) -> str:
    announced = max((int(header.number(keyword) or 0) for header in headers for keyword in ANNOUNCED), default=0)
    if announced <= len(headers):
        return ""
    return (
        f"{some(announced - len(headers), 'image is', 'images are')} missing: {announced} "
        f"were announced, {len(headers)} arrived."
    )


def _extent(series: Series, rules: Rules) -> str:
    try:
        return too_small(series, rules)
    except UnusableInput as refusal:
        return refusal.sentence


def too_small(series: Series, rules: Rules) -> str:
    """The reason why a series has too few slices or covers too little, "" where it does not.

    Raises UnusableInput where its slices are no stack. What does not even tell is refused when it is read."""
    slices = images(series)
    if not _stackable(slices):
        return ""
    arranged = arrange(slices, series.uid)
    check_stack(arranged, series.uid, series.contents.left_out)
    return _too_small(arranged.even, rules)


def _stackable(slices: tuple[Header, ...]) -> bool:
    cosines = [found for header in slices if (found := cosines_of(header))]
    if len(cosines) < len(slices) or not all(position_of(header) for header in slices):
        return False
    return bool(np.ptp(cosines, axis=0).max() <= COSINE_TOLERANCE)


def _too_small(ordered: Stack, rules: Rules) -> str:
    if len(ordered.headers) < rules.minimum_slices:
        return f"It has {len(ordered.headers)} slices: at least {rules.minimum_slices} are asked for in [rules]."
    coverage = float(ordered.offsets[-1, 2]) + ordered.step
    if coverage < rules.minimum_coverage_mm:
        return (
            f"It covers {coverage:.0f} mm along the patient: at least {rules.minimum_coverage_mm:.0f} "
            "mm are asked for in [rules]."
        )
    first = ordered.headers[0]
    spacing, rows, columns = first.numbers("PixelSpacing", 2), first.number("Rows"), first.number("Columns")
    if spacing and rows is not None and columns is not None:
        field = min(spacing[0] * rows, spacing[1] * columns)
        if field < rules.minimum_field_of_view_mm:
            return (
                f"Its field of view is {field:.0f} mm: at least {rules.minimum_field_of_view_mm:.0f} "
                "mm are asked for in [rules]."
            )
    return ""
