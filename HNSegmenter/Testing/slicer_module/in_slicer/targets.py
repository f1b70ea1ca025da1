"""What is added by hand: asked what it is where nothing tells, and saved as that."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pydicom
import slicer
from driver import WidgetTest, chosen_item, paint, run, screenshot

from HNSegmenterLib.rtstruct import pair


class Targets(WidgetTest):
    def test_a_tumour_without_terminology_is_asked_for(self):
        self.drop(self.ct)
        self.segmented()
        self.ui.editButton.click()
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        slicer.util.findChild(editor, "AddSegmentButton").click()
        segments = self.ui.segmentationSelector.currentNode().GetSegmentation()
        segments.GetSegment(editor.currentSegmentID()).SetName("Tumour")
        paint(editor, (10, 0), (20, 0), 12)
        slicer.util.selectModule("HNSegmenter")
        slicer.app.processEvents()
        self.assertIn("type to be asked, added by hand (MANUAL): Tumour", self.ui.contentsLabel.text)
        self.dialogs.answers = {"HNSegmenterRoiType": "Cancel"}
        self.ui.saveButton.click()
        path = Path(self.ui.saveFolderEdit.currentPath) / "rtstruct.dcm"
        self.assertFalse(path.exists())
        self.dialogs.answers = {"HNSegmenterRoiType": ("OK", chosen_item("GTV"))}
        self.ui.saveButton.click()
        self.assertEqual(self.dialogs.seen, ["HNSegmenterRoiType"] * 2)
        self.assertIn("Saved and read back", self.ui.saveStatus.text)
        screenshot("targets")
        (tumour,) = [roi for roi in pair(pydicom.dcmread(path)).rois if roi.name == "Tumour"]
        self.assertEqual(tumour.interpreted_types, {"GTV"})


run(Targets)
