"""How much was corrected is measured with the approval, whoever approves; it is never in an approval's way."""

from __future__ import annotations

import pytest
import SimpleITK as sitk

from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.service.inbox import review, review_record
from HNSegmenterLib.service.node.client import RESULTS, REVIEW
from HNSegmenterLib.service.worker.segmenting import pack
from Testing.rtstruct.help import NAMES, head_organs, result
from Testing.service.review_help import REVIEWER, approve, edited, own_node, rest, waiting


@pytest.fixture
def with_labelmaps(waiting):
    """The result as the worker attaches it, with the network's labelmaps; returns their folder."""
    folder = waiting.results / "segmentations"
    folder.mkdir()
    outcome = result()
    for organ in outcome.organs:
        organ.file = f"{organ.name}.nii.gz"
        sitk.WriteImage(head_organs(read_planning_ct(waiting.ct))[organ.name], str(folder / organ.file))
    outcome.write(waiting.results / "result.json")
    waiting.node.attach(waiting.series, RESULTS, pack(waiting.results))
    return folder


def lower(dataset):
    """The cord ends two slices higher, the left eye is gone, the right parotid is called otherwise."""
    rois = {roi.name: roi for roi in pair(dataset).rois}
    rois["SpinalCord"].drawn[0].ContourSequence = list(rois["SpinalCord"].drawn[0].ContourSequence)[2:]
    rois["SpinalCord"].item.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
    rois["Eye_L"].drawn[0].ContourSequence = []
    rois["Parotid_R"].item.ROIName = "Ohrspeicheldruese re"


def measured(rest, waiting) -> dict[str, dict]:
    return {one["organ"]: one for one in review_record.corrections(rest, waiting.series, "job1")["organs"]}


def test_what_is_left_as_drawn_is_the_same_voxel_by_voxel(approve, rest, waiting, with_labelmaps):
    approve()
    found = measured(rest, waiting)
    assert list(found) == list(NAMES)
    assert {(one["change"], one["dice"], one["largest_mm"]) for one in found.values()} == {("untouched", 1.0, 0.0)}
    assert {one["model"] for one in found.values()} == {"hn-densevnet 0.1.0"}


def test_what_was_changed_is_measured(approve, rest, waiting, with_labelmaps, tmp_path):
    approve(rtstruct=edited(waiting, tmp_path, lower), agree=lambda changes: True)
    found = measured(rest, waiting)
    assert {name: one["change"] for name, one in found.items()} == {
        **dict.fromkeys(NAMES, "untouched"), "SpinalCord": "edited", "Eye_L": "removed",
    }  # fmt: skip
    cord = found["SpinalCord"]
    assert 0.5 < cord["dice"] < 1 and cord["volume_change_percent"] < 0 and cord["largest_mm"] == 8.0, "two slices"


def test_a_repeat_changes_nothing(approve, rest, waiting, with_labelmaps):
    approve()
    first = rest.attachment(waiting.series, REVIEW)
    approve()
    assert rest.attachment(waiting.series, REVIEW) == first


def test_a_result_without_labelmaps_tells_what_is_stated(approve, rest, waiting, tmp_path):
    approve(rtstruct=edited(waiting, tmp_path, lower), agree=lambda changes: True)
    found = measured(rest, waiting)
    assert (found["SpinalCord"]["change"], found["SpinalCord"]["dice"]) == ("edited", None)
    assert found["Brainstem"]["change"] == "untouched"


def test_what_cannot_be_measured_is_approved_all_the_same(approve, rest, waiting, with_labelmaps, finalised_bytes):
    (with_labelmaps / "Brainstem.nii.gz").write_bytes(b"broken")
    waiting.node.attach(waiting.series, RESULTS, pack(waiting.results))
    made = approve()
    assert review.read(rest, waiting.series, "job1") == made and finalised_bytes()
    assert review_record.corrections(rest, waiting.series, "job1") is None


@pytest.fixture
def finalised_bytes(rest, waiting):
    return lambda: review_record.reviewed_set(rest, waiting.series, "job1")


def test_a_rejection_measures_nothing(rest, waiting, with_labelmaps):
    review.reject(rest, waiting.series, REVIEWER, "moved")
    assert review_record.corrections(rest, waiting.series, "job1") is None
