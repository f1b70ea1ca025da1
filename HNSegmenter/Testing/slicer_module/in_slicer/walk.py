"""From a CT folder to a saved RTSTRUCT, by drops and clicks, with a picture of every state."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pydicom
import slicer
from driver import Stalls, WidgetTest, paint, run, screenshot, wait

from HNSegmenterLib import scene

ORGANS = {"Brainstem", "SpinalCord", "Parotid_L", "Parotid_R"}


class Walk(WidgetTest):
    def test_load_segment_edit_save(self):
        screenshot("empty")
        self.assertFalse(self.ui.segmentButton.enabled)
        self.drop(self.ct)
        screenshot("loaded")
        volume = self.ui.inputSelector.currentNode()
        self.assertEqual(volume.GetDisplayNode().GetWindow(), 400)
        stalls = Stalls()
        self.ui.segmentButton.click()
        slicer.app.processEvents()
        print("longest stall at the start:", stalls.restart())
        wait(lambda: self.logic.poll()["stage"] == "network", 120)
        screenshot("running")
        stalls.restart()
        wait(lambda: not self.logic.running, 300)
        print("longest stall of the run:", stalls.restart())
        wait(lambda: self.ui.segmentButton.enabled, 120)
        print("longest stall while contours are loaded:", stalls.restart())
        stalls.stop()
        screenshot("done")
        self.assertEqual(self.jobs(), [])
        node = self.ui.segmentationSelector.currentNode()
        rows = {row.name: row for row in scene.organ_rows(node)}
        self.assertLessEqual(ORGANS, {name for name, row in rows.items() if row.segment_id})
        self.assertEqual(self.ui.organTable.rowCount, len(rows))
        self.click_row("Parotid_L", rows["Parotid_L"].segment_id, node)
        self.ui.editButton.click()
        self.assertEqual(slicer.util.selectedModule(), "SegmentEditor")
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        self.assertEqual(editor.currentSegmentID(), rows["Parotid_L"].segment_id)
        self.assertEqual(editor.sourceVolumeNode(), volume)
        screenshot("editing")
        paint(editor, (4, 0), (16, 0))
        screenshot("edited")
        slicer.util.selectModule("HNSegmenter")
        slicer.app.processEvents()
        self.assertIn("SEMIAUTOMATIC", self.ui.contentsLabel.text)
        self.assertTrue(node.GetSegmentation().ContainsRepresentation("Closed surface"))
        proposed = Path(self.ui.saveFolderEdit.currentPath)
        self.assertEqual(proposed.parent, Path(self.ct).parent)
        self.assertFalse(proposed.exists())
        self.ui.saveButton.click()
        self.assertIn("Saved and read back", self.ui.saveStatus.text)
        screenshot("saved")
        self.check(proposed / "rtstruct.dcm", volume)

    def click_row(self, organ, segment, node):
        row = self.click_organ(organ)
        self.assertEqual(self.ui.organTable.currentRow(), row)
        center = scene.organ_center(node, segment)
        red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
        self.assertAlmostEqual(red.GetSliceToRAS().GetElement(2, 3), center[2], delta=3.0)

    def check(self, path, volume):
        written = pydicom.dcmread(path)
        algorithms = {roi.ROIName: roi.ROIGenerationAlgorithm for roi in written.StructureSetROISequence}
        self.assertEqual(algorithms["Parotid_L"], "SEMIAUTOMATIC")
        self.assertEqual(algorithms["Parotid_R"], "AUTOMATIC")
        slices = set(volume.GetAttribute("DICOM.instanceUIDs").split())
        contours = [contour for roi in written.ROIContourSequence for contour in roi.ContourSequence]
        self.assertLessEqual({contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours}, slices)

    def test_second_run_asks_and_keeps_edits(self):
        self.drop(self.ct)
        self.segmented()
        first = self.ui.segmentationSelector.currentNode().GetID()
        self.dialogs.answers = {"HNSegmenterReplace": "Cancel"}
        self.ui.segmentButton.click()
        self.assertEqual(self.dialogs.seen, ["HNSegmenterReplace"])
        self.assertFalse(self.logic.running)
        self.dialogs.answers = {"HNSegmenterReplace": "Replace it"}
        self.segmented()
        self.dialogs.answers = {}
        self.assertIsNone(slicer.mrmlScene.GetNodeByID(first))
        second = self.ui.segmentationSelector.currentNode()
        second.GetSegmentation().GetNthSegment(0).SetName("Mine")
        self.segmented()  # an edited result is kept without a question
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")), 2)


run(Walk)
