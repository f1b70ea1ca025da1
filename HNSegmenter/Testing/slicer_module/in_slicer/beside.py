"""What the module adds beside its window: sample patient, Slicer's own export dialog;
and what Load asks and refuses."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import qt
import slicer
from driver import WidgetTest, run, screenshot


class Beside(WidgetTest):
    def test_sample_patient_of_the_sample_data_module(self):
        slicer.util.selectModule("SampleData")
        button = slicer.util.findChild(slicer.modules.SampleDataWidget.parent, "HNSegmenterSamplePushButton")
        screenshot("sample")
        button.click()
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        self.assertEqual(len(volumes), 1)
        self.assertTrue(volumes[0].GetAttribute("DICOM.instanceUIDs"))

    def test_slicers_own_export_dialog_opens_on_the_study_as_rtstruct(self):
        self.drop(self.ct)
        self.segmented()
        chosen = []
        timer = qt.QTimer()
        timer.setInterval(400)  # when the dialog and the module have chosen
        timer.connect("timeout()", lambda: chosen.append(look_and_close(slicer.app.activeModalWidget())))
        self.dialogs.stop()
        timer.start()
        self.ui.dicomDialogButton.click()
        timer.stop()
        kind, modalities = chosen[0]
        if "DicomRtImportExportPlugin" in slicer.modules.dicomPlugins:
            self.assertIn("DicomRtImportExportPlugin", kind)
            self.assertIn("2 series", kind)  # the study: the CT and its contours
        self.assertTrue(modalities)

    def test_an_unsaved_scene_is_asked_about(self):
        self.drop(self.ct)
        self.dialogs.answers = {"HNSegmenterCloseScene": "Load into it"}
        self.widget.loadSection.load(str(self.ct))
        self.assertEqual(self.dialogs.seen, ["HNSegmenterCloseScene"])
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 2)
        self.dialogs.answers = {"HNSegmenterCloseScene": "Close it and load"}
        self.widget.loadSection.load(str(self.ct))
        self.assertEqual(len(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")), 1)

    def test_a_folder_without_a_ct_is_refused_in_a_sentence(self):
        empty = self.folder / "empty"
        empty.mkdir()
        self.dialogs.answers = {"": "OK"}
        self.widget.loadSection.load(str(empty))
        self.assertTrue(self.dialogs.seen)
        self.assertTrue(self.ui.loadStatus.text)


def look_and_close(dialog) -> tuple[str, list[str]]:
    """The type chosen in Slicer's export dialog, and the texts of its tags."""
    types = slicer.util.findChild(dialog, "ExportablesListWidget")
    tags = slicer.util.findChildren(dialog, className="QTableWidget")
    texts = [table.item(row, 1).text() for table in tags for row in range(table.rowCount) if table.item(row, 1)]
    screenshot("export-dialog")
    said = types.currentItem().text() if types.currentItem() else ""
    dialog.reject()
    return said, texts


run(Beside)
