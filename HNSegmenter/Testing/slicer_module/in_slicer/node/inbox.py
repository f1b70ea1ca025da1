"""The inbox, by clicks: open, edit, approve and send, reject.

HNSEG_TEST_SERVICE: service.toml of a node with three patients; HNSEG_TEST_REST: a folder with the slices that one of
them lacks; HNSEG_TEST_SWITCH: a file that switches the planning system SECOND on.
"""

import os
import subprocess
import sys
import unittest
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import pydicom
import qt
import slicer
from driver import SAVE, Stalls, WidgetTest, open_module, run, screenshot, wait

from HNSegmenterLib import scene
from HNSegmenterLib.rtstruct import pair
from HNSegmenterLib.service import settings as service
from HNSegmenterWidgets import packages

CONFIG = os.environ["HNSEG_TEST_SERVICE"]


@unittest.skipIf(
    packages.missing(packages.INBOX), "Slicer's Python lacks what requirements-inbox.txt names: install it there"
)
class Inbox(WidgetTest):
    def test_review(self):
        for section in (self.ui.loadSection, self.ui.segmentSection, self.ui.saveSection):
            section.collapsed = True
        self.assertTrue(self.ui.inboxSection.collapsed)
        self.ui.inboxSection.collapsed = False
        self.assertIn("Not set up", self.ui.inboxSetupLabel.text)
        screenshot("inbox-not-set-up")
        self.widget.inboxSection.configure(CONFIG)
        wait(lambda: self.ui.inboxTable.rowCount == 2, 240)
        wait(lambda: not self.widget.inboxSection._lights._asking, 60)
        self.assertIn("SECOND", self.ui.inboxLightFaults.text)
        self.assertNotIn("MONACO", self.ui.inboxLightFaults.text)
        self.ui.inboxFilterBox.setCurrentIndex(1)
        wait(lambda: self.state("Held") == "held", 60)
        self.assertIn("only 48 mm long", self.cell("Held", 3))
        screenshot("inbox-all")
        self.ui.inboxFilterBox.setCurrentIndex(0)
        self.assertIsNone(self.row("Held"))
        screenshot("inbox-waiting")
        self.open("Approved")
        self.edit()
        self.approve()
        self.not_opened("Rejected")
        self.grown("Rejected")
        self.reject()

    def row(self, name):
        table = self.ui.inboxTable
        return next((n for n in range(table.rowCount) if name in table.item(n, 0).text()), None)

    def cell(self, name, column):
        row = self.row(name)
        return "" if row is None else self.ui.inboxTable.item(row, column).text()

    def state(self, name):
        return self.cell(name, 2)

    def refreshed(self):
        """One more look at the node."""
        wait(lambda: self.ui.inboxRefreshButton.enabled, 60)
        self.ui.inboxRefreshButton.click()
        wait(lambda: self.ui.inboxRefreshButton.enabled, 60)

    def open(self, name):
        self.ui.inboxTable.selectRow(self.row(name))
        self.assertTrue(self.ui.inboxOpenButton.enabled)
        stalls = Stalls()
        self.ui.inboxOpenButton.click()
        wait(lambda: self.ui.inboxProgress.visible, 60)
        screenshot("inbox-fetching")
        self.assertFalse(self.ui.inboxOpenButton.enabled)
        wait(lambda: "Opened" in self.ui.inboxStatus.text, 120)
        print("longest stall while a patient is opened:", stalls.restart())
        stalls.stop()
        self.assertEqual(self.jobs(), [])
        volume = self.ui.inputSelector.currentNode()
        self.assertTrue(all(file.is_file() for file in scene.dicom_database.original_files(volume)))
        self.assertIn("In review", self.ui.inboxReviewLabel.text)
        screenshot("inbox-opened")

    def edit(self):
        """An eye is left out, and the brain stem gets a row of voxels more; back from the Segment Editor."""
        self.ui.segmentSection.collapsed = False
        slicer.app.processEvents()
        self.click_organ("Eye_L", SAVE)
        self.ui.segmentSection.collapsed = True
        slicer.util.selectModule("SegmentEditor")
        node = self.ui.segmentationSelector.currentNode()
        volume = scene.volume_of(node)
        array = slicer.util.arrayFromSegmentBinaryLabelmap(node, "Brainstem", volume)
        k, j, i = (int(axis.mean()) for axis in array.nonzero())
        array[k, j, i : i + 25] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, "Brainstem", volume)
        slicer.util.selectModule("HNSegmenter")

    @contextmanager
    def another_file(self):
        """What is approved is a file as another program may have left it: with a ring in a ring, and a remark on it."""
        written = self.logic.exportDicomRt

        def with_a_ring_in_a_ring(*arguments, **options):
            saved = written(*arguments, **options)
            dataset = pydicom.dcmread(saved.path)
            (roi,) = [roi for roi in pair(dataset).rois if roi.name == "Brainstem"]
            ring = deepcopy(max(roi.contours, key=lambda contour: contour.NumberOfContourPoints))
            points = np.reshape(np.array(ring.ContourData, float), (-1, 3))
            inner = points.mean(axis=0) + 0.4 * (points - points.mean(axis=0))
            ring.ContourData = [f"{value:.2f}" for value in inner.ravel()]
            roi.drawn[0].ContourSequence.append(ring)
            dataset.save_as(saved.path)
            saved.warnings.append("Noticed while it was written.")
            return saved

        self.logic.exportDicomRt = with_a_ring_in_a_ring
        try:
            yield
        finally:
            self.logic.exportDicomRt = written

    def approve(self):
        """Without a name nothing goes, nor what has to be changed without being asked;
        then for one of the two planning systems."""
        self.filled, self.said = [], []  # what was seen in the dialogs, whose faults Qt would swallow

        def fill(dialog):
            self.said.append(text_of(dialog))
            button = next(b for b in slicer.util.findChildren(dialog, className="QPushButton") if "Approve" in b.text)
            edit = slicer.util.findChild(dialog, "reviewerEdit")
            self.filled.append((button.enabled, edit.text))
            edit.text = "TEST Reviewer"
            boxes = {box.text.split(":")[0]: box for box in slicer.util.findChildren(dialog, className="QCheckBox")}
            self.filled.append(set(boxes))
            boxes["MONACO"].setChecked(False)

        def read(dialog):
            self.said.append(text_of(dialog))

        with self.another_file():
            self.dialogs.answers = {
                "HNSegmenterApprove": ("Approve and send", fill),
                "HNSegmenterAgree": ("Cancel", read),
            }
            self.ui.inboxApproveButton.click()
            wait(lambda: "Cancelled" in self.ui.inboxStatus.text, 120)
            self.assertEqual(self.jobs(), [])
            self.refreshed()
            self.assertIn("In review", self.ui.inboxReviewLabel.text)
            self.dialogs.answers["HNSegmenterAgree"] = ("Approve all the same", read)
            self.ui.inboxApproveButton.click()
        before, changed = self.said[:2]
        self.assertIn("Noticed while it was written.", before)
        self.assertIn("left out, not sent: Eye_L", before)
        self.assertIn("1 contour lies inside another of the same organ: taken as holes.", changed)
        self.assertEqual(
            self.filled, [(False, ""), {"MONACO", "SECOND"}, (True, "TEST Reviewer"), {"MONACO", "SECOND"}]
        )
        wait(lambda: "SECOND: not yet" in self.ui.inboxStatus.text, 120)
        self.assertIn("being sent", self.ui.inboxReviewLabel.text)
        screenshot("inbox-trying")
        Path(os.environ["HNSEG_TEST_SWITCH"]).touch()
        wait(lambda: ": sent" in self.ui.inboxStatus.text, 120)
        self.assertIn("SECOND: confirmed", self.ui.inboxStatus.text)
        self.assertIsNone(self.widget.inboxSection._table.chosen, "no other patient is chosen now")
        screenshot("inbox-sent")
        self.assertFalse(self.ui.inboxApproveButton.enabled)
        self.assertEqual(self.jobs(), [])
        self.assertEqual(qt.QSettings().value("HNSegmenter/Reviewer"), "TEST Reviewer")

    def not_opened(self, name):
        """Cancelled while it is fetched; then the scene that holds contours is not to be closed."""
        before = len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
        self.ui.inboxTable.selectRow(self.row(name))
        self.ui.inboxOpenButton.click()
        wait(lambda: self.ui.inboxProgress.visible, 60)
        self.ui.inboxCancelButton.click()
        wait(lambda: "Cancelled" in self.ui.inboxStatus.text, 60)
        self.assertEqual(self.jobs(), [])
        self.dialogs.answers = {"HNSegmenterCloseScene": "Cancel"}
        self.ui.inboxOpenButton.click()
        wait(lambda: "Not opened" in self.ui.inboxStatus.text, 120)
        self.assertIn("HNSegmenterCloseScene", self.dialogs.seen)
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), before)
        self.assertEqual(self.jobs(), [])

    def grown(self, name):
        """More slices arrive while the patient is reviewed: what is on the screen cannot be approved any more."""
        self.dialogs.answers = {"HNSegmenterCloseScene": "Close it and load"}
        self.ui.inboxOpenButton.click()
        wait(lambda: "In review" in self.ui.inboxReviewLabel.text, 120)
        files = sorted(map(str, Path(os.environ["HNSEG_TEST_REST"]).iterdir()))
        port = service.load(Path(CONFIG)).node.dicom_port
        command = ["storescu", "-aet", "CT1", "-aec", "HNSEG", "127.0.0.1", str(port), *files]
        subprocess.run(command, check=True, env=slicer.util.startupEnvironment())
        for _ in range(60):
            self.refreshed()
            if "grew" in self.ui.inboxReviewLabel.text:
                break
        screenshot("inbox-grown")
        self.assertIn("grew", self.ui.inboxReviewLabel.text)
        self.assertFalse(self.ui.inboxApproveButton.enabled)
        wait(lambda: self.row(name) is not None, 200)

    def reject(self):
        def fill(dialog):
            slicer.util.findChild(dialog, "reasonEdit").text = "Wrong patient position"

        self.dialogs.answers = {"HNSegmenterReject": ("Reject", fill)}
        self.ui.inboxTable.selectRow(self.row("Rejected"))
        self.ui.inboxRejectButton.click()
        self.ui.inboxFilterBox.setCurrentIndex(1)
        wait(lambda: self.state("Rejected") == "rejected", 120)
        self.assertIn("Wrong patient position", self.cell("Rejected", 3))
        screenshot("inbox-rejected")
        self.assertEqual({self.state(name) for name in ("Approved", "Held")}, {"sent", "held"})

    def test_then_module_reloaded_while_a_patient_is_fetched(self):
        """Nothing of it stays, and the new module finds node and patients by itself."""
        self.ui.inboxFilterBox.setCurrentIndex(1)
        self.ui.inboxTable.selectRow(self.row("Held"))
        self.ui.inboxOpenButton.click()
        self.assertNotEqual(self.jobs(), [])
        self.widget.onReload()
        self.assertEqual(self.jobs(), [])
        self.widget = type(self).widget = open_module()
        self.ui = self.widget.ui
        self.assertFalse(self.ui.inboxSection.collapsed)
        wait(lambda: "held" in self.ui.inboxSummary.text, 60)


def text_of(dialog):
    return " ".join(label.text for label in slicer.util.findChildren(dialog, className="QLabel"))


run(Inbox)
