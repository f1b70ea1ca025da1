"""Segments' codes: Slicer's terminology entries, and what they say of a region's kind."""

from __future__ import annotations

from pathlib import Path

import slicer

from ..result import Organ

CONTEXT = "HN Segmenter: organs at risk and targets"  # the name in the .term.json that comes with the module
FILE = Path(__file__).resolve().parents[2] / "Resources" / "Terminologies" / "HNSegmenter.term.json"
# As the terminologies that come with Slicer write it.
NOTHING = ("", "", "")
ANATOMY = ("123037004", "SCT", "Anatomical Structure")
MORPHOLOGY = ("SCT", "49755003")  # Morphologically Altered Structure
# SNOMED CT, observable entities: gross tumor, clinical target and planning target volume.
TARGETS = {("SCT", "228791009"): "GTV", ("SCT", "228792002"): "CTV", ("SCT", "228793007"): "PTV"}
NEOPLASMS = {("SCT", "108369006"), ("SCT", "86049000"), ("SCT", "14799000")}


def register(logic=None) -> bool:
    """Offer this module's terminology in Slicer's selector; again does no harm. logic: default the application's.

    False if there is no application, or it could not read the file.
    """
    if logic is None:
        module = getattr(getattr(slicer, "modules", None), "terminologies", None)
        logic = module.logic() if module is not None else None
    return logic is not None and bool(logic.LoadTerminologyFromFile(str(FILE)))


def entry(organ: Organ) -> str | None:
    """The serialised terminology entry of an organ; None if the model gives it no code."""
    if not organ.code:
        return None
    kind, side = (_triple(code) for code in (organ.code, organ.laterality))
    serialize = slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry
    return serialize(CONTEXT, *ANATOMY, *kind, *side, "", *NOTHING, *NOTHING)


def target_type(serialized: str) -> str | None:
    """GTV, CTV or PTV where a serialised entry says so; "" where it says tumour only; None where it says neither."""
    found = slicer.vtkSlicerTerminologyEntry()
    if not serialized or not slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(serialized, found):
        return None
    category, kind = (_code(part) for part in (found.GetCategoryObject(), found.GetTypeObject()))
    if kind in TARGETS:
        return TARGETS[kind]
    return "" if category == MORPHOLOGY or kind in NEOPLASMS else None


def _code(concept) -> tuple[str, str]:
    return concept.GetCodingSchemeDesignator() or "", concept.GetCodeValue() or ""


def _triple(code: dict | None) -> tuple[str, str, str]:
    return (code["value"], code["scheme"], code["meaning"]) if code else NOTHING
