"""The 3D Slicer side: MRML volumes to jobs, results to segments, segments to DICOM. No Qt in here.

The only room of the library that imports `slicer` and `vtk`. Everything works on the wheel slicer-core too, apart from
what needs Slicer's DICOM database or SlicerRT (dicom_database, saving.slicer_rt), which import those when called.

The names below are loaded when first used, so that importing the package stays cheap.
"""

from importlib import import_module

_HOMES = {
    "load": "loading",
    "load_dicom": "loading",
    "load_file": "loading",
    "show_ct": "loading",
    "check_volume": "volumes",
    "image_of": "volumes",
    "rtstruct_impossible": "volumes",
    "HandOver": "handover",
    "child_arguments": "handover",
    "left_behind": "handover",
    "parse_line": "handover",
    "last_words": "handover",
    "show_results": "results",
    "show_in_steps": "results",
    "own_results": "provenance",
    "is_own": "provenance",
    "is_edited": "provenance",
    "edited_segments": "provenance",
    "leave_out": "provenance",
    "left_out": "provenance",
    "own_masks": "provenance",
    "result_of": "provenance",
    "volume_of": "provenance",
    "organ_rows": "rows",
    "organ_center": "rows",
    "OrganRow": "rows",
    "PlannedRoi": "saving.rois",
    "roi_plan": "saving.rois",
    "UnclearType": "saving.rois",
    "labelmaps": "saving.label_images",
    "save_labelmaps": "saving.label_images",
    "Saved": "saving.export",
    "SavedRoi": "saving.export",
    "export_rtstruct": "saving.export",
    "planned_files": "saving.export",
    "slicer_rt_problem": "saving.slicer_rt",
    "source_folder": "dicom_database",
    "propose_folder": "dicom_database",
    "planning_ct": "dicom_database",
    "Case": "inbox",
    "PrivateFolder": "inbox",
    "case_of": "inbox",
    "mark": "inbox",
    "segment": "workflow",
    "segment_and_save": "workflow",
}
__all__ = tuple(sorted(_HOMES))


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
