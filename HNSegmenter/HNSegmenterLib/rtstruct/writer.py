"""The sequences of an RTSTRUCT that hold the ROIs:
Structure Set ROI, ROI Contour, RT ROI Observations (PS3.3 C.8.8)."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Items
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from ..silent_libraries import quiet
from .header import image_reference
from .rois import LONGEST_LO, Roi
from .tracing.contours import SliceContour, encode

if TYPE_CHECKING:
    from ..dicom import PlanningCT

_CONTOUR_DATA = Tag(0x3006, 0x0050)
_ANATOMY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}  # PS3.3 C.8.8.8.3.1
_FAMILY = {"value": "123110", "scheme": "DCM", "meaning": "Artificial Intelligence"}  # PS3.16 CID 7162


@quiet()
def build(ct: PlanningCT, rois: Items[Roi]) -> Dataset:
    """A bare RTSTRUCT: the three sequences and nothing else. `complete` makes it one that may be written."""
    dataset = Dataset()
    classes = {slice_.sop_instance_uid: slice_.sop_class_uid for slice_ in ct.slices}
    numbered = list(enumerate(rois, start=1))
    dataset.StructureSetROISequence = Sequence([_structure_set_roi(ct, n, roi) for n, roi in numbered])
    dataset.ROIContourSequence = Sequence([_roi_contour(n, roi, classes) for n, roi in numbered])
    dataset.RTROIObservationsSequence = Sequence([_observation(n, roi) for n, roi in numbered])
    return dataset


def _structure_set_roi(ct: PlanningCT, number: int, roi: Roi) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = ct.frame_of_reference_uid
    item.ROIName = roi.name
    item.ROIDescription = roi.description
    item.ROIGenerationAlgorithm = roi.algorithm
    if roi.generation:
        item.ROIGenerationDescription = roi.generation
    if algorithm := _derivation(roi):
        item.ROIDerivationAlgorithmIdentificationSequence = Sequence([algorithm])
    return item


def _derivation(roi: Roi) -> Dataset | None:
    """Algorithm Identification Macro (PS3.3 10.16) of the model that drew an ROI."""
    if roi.model is None or not all(roi.model.get(key) for key in ("name", "version")):
        return None
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = Sequence([_code(_FAMILY)])
    item.AlgorithmName = str(roi.model["name"])[:LONGEST_LO]
    item.AlgorithmVersion = str(roi.model["version"])[:LONGEST_LO]
    if roi.model.get("digest"):
        item.AlgorithmParameters = f"Model {roi.model['digest']}"
    return item


def _roi_contour(number: int, roi: Roi, classes: Mapping[str, str]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(roi.display_color(number - 1))
    item.ReferencedROINumber = number
    item.ContourSequence = Sequence([_contour(contour, classes) for contour in roi.contours])
    return item


def _contour(contour: SliceContour, classes: Mapping[str, str]) -> Dataset:
    item = Dataset()
    item.ContourImageSequence = Sequence([image_reference(classes[contour.sop_instance_uid], contour.sop_instance_uid)])
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(contour.points)
    value = encode(contour.points)
    # As bytes: the text stays what `encode` made, at the length that was checked.
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(value), value, 0, False, True)
    return item


def contour_points(item: Dataset) -> np.ndarray:
    """(n, 3) points of a Contour Sequence item, mm. Raises ValueError if they are not triplets of numbers."""
    element = item.get_item(_CONTOUR_DATA)
    if element is None or element.value in (None, b"", ""):
        return np.empty((0, 3))
    raw = isinstance(element, RawDataElement)
    values = element.value.rstrip(b" \0").split(b"\\") if raw else element.value
    return np.array(values, dtype=float).reshape(-1, 3)


def _observation(number: int, roi: Roi) -> Dataset:
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    if roi.organ is not None and roi.organ.code:
        item.SegmentedPropertyCategoryCodeSequence = Sequence([_code(_ANATOMY)])
        identification = _code(roi.organ.code)
        if roi.organ.laterality:
            identification.SegmentedPropertyTypeModifierCodeSequence = Sequence([_code(roi.organ.laterality)])
        item.RTROIIdentificationCodeSequence = Sequence([identification])
    item.RTROIInterpretedType = roi.interpreted_type
    item.ROIInterpreter = None
    return item


def _code(concept: Mapping[str, str]) -> Dataset:
    """Code Sequence Macro (PS3.3 8.8)."""
    item = Dataset()
    item.CodeValue = concept["value"]
    item.CodingSchemeDesignator = concept["scheme"]
    item.CodeMeaning = concept["meaning"]
    return item
