"""Sixty organs of another model in one structure set: valid, named as planning systems take it, none lost."""

from __future__ import annotations

import pydicom
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.labelmaps import Labelmaps
from HNSegmenterLib.result import Result
from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.rtstruct.names import SAFE_ROI_NAME, NameTable
from Testing.many_organs import NAMES, labelmaps_on, many_organs
from Testing.painted_head import painted_head
from Testing.phantoms import write_ct_series
from Testing.rtstruct.help import MODEL, dciodvfy_complaints


def test_sixty_rois_are_valid_and_keep_their_names(tmp_path):
    image, _ = painted_head()
    write_ct_series(tmp_path / "ct", sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin())
    ct = read_planning_ct(tmp_path / "ct")
    labelmaps = Labelmaps(ct.image)
    for name, labelmap in labelmaps_on(ct.image):
        labelmaps.keep(name, labelmap)
    report = write_rtstruct(ct, labelmaps, Result(MODEL, many_organs()), tmp_path / "rtstruct.dcm")
    assert report.rois == list(NAMES) and report.warnings == []
    assert dciodvfy_complaints(report.path) == []
    written = pydicom.dcmread(report.path)
    assert max(len(item.ROIName) for item in written.StructureSetROISequence) <= SAFE_ROI_NAME
    assert all(item.ContourSequence for item in written.ROIContourSequence)


def test_names_that_a_planning_system_would_cut_are_told():
    (sentence,) = NameTable().check_against(["Parotid_L", "Gland_Submandibular_Left", "Sixteen_letters_"])
    assert "after 16 characters; longer here: Gland_Submandibular_Left. Give shorter" in sentence
    assert NameTable({"Gland_Submandibular_Left": "Submand li"}).check_against(["Gland_Submandibular_Left"]) == []
