"""A CT from a NIfTI file, and a CT under a transform."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import slicer
import vtk
from driver import WidgetTest, run, screenshot, wait

from HNSegmenterWidgets.organ_table import LOOK_AT


class OtherVolumes(WidgetTest):
    def test_nifti_is_segmented_and_saved_as_labelmaps(self):
        import SimpleITK as sitk

        from HNSegmenterLib.sample import sample_volume

        file = self.folder / "CT.nii"
        sitk.WriteImage(sample_volume()[0], str(file))
        self.drop(file)
        self.segmented()
        self.assertIn("DICOM", self.ui.contentsLabel.text)
        self.assertEqual(self.ui.saveButton.text, "Save labelmaps")
        screenshot("nifti")
        folder = Path(self.ui.saveFolderEdit.currentPath)
        self.assertFalse(folder.exists())
        self.ui.saveButton.click()
        self.assertIn("Saved", self.ui.saveStatus.text)
        self.assertTrue((folder / "Brainstem.nii.gz").is_file())

    def test_what_the_checks_notice_is_shown(self):
        import SimpleITK as sitk

        from HNSegmenterLib.sample import sample_volume

        ct = sample_volume()[0]
        file = self.folder / "cut.nii"
        sitk.WriteImage(ct[:, :, : ct.GetDepth() * 2 // 3], str(file))  # it ends below the crown
        self.drop(file)
        self.segmented()
        noticed = [self.ui.organTable.item(row, LOOK_AT).text() for row in range(self.ui.organTable.rowCount)]
        self.assertTrue(any(noticed))
        self.assertEqual(Path(self.ui.saveFolderEdit.currentPath).parent, self.folder.parent)
        screenshot("warning")

    def test_volume_under_a_transform(self):
        self.drop(self.ct)
        volume = self.ui.inputSelector.currentNode()
        moved = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 30.0)
        moved.SetMatrixTransformToParent(matrix)
        volume.SetAndObserveTransformNodeID(moved.GetID())
        self.segmented()
        node = self.ui.segmentationSelector.currentNode()
        self.assertEqual(node.GetParentTransformNode(), moved)
        saved = self.logic.exportDicomRt(node, self.folder / "moved")
        self.assertGreaterEqual(min(roi.dice for roi in saved.rois), 0.99)

    def test_module_without_a_run_follows_the_scene(self):
        self.drop(self.ct)
        slicer.mrmlScene.RemoveNode(self.ui.inputSelector.currentNode())
        wait(lambda: not self.ui.segmentButton.enabled, 5)
        slicer.util.selectModule("Data")
        slicer.mrmlScene.Clear(False)
        slicer.util.selectModule("HNSegmenter")
        slicer.app.processEvents()
        self.assertFalse(self.ui.segmentButton.enabled)
        self.assertFalse(self.ui.saveButton.enabled)

    def test_a_closed_scene_leaves_no_word_of_its_contours(self):
        self.drop(self.ct)
        self.segmented()
        self.ui.saveButton.click()
        slicer.mrmlScene.Clear(False)
        slicer.app.processEvents()
        self.assertEqual(self.ui.stageLabel.text, "")
        self.assertEqual(self.ui.saveFolderEdit.currentPath, "")
        self.assertFalse(self.ui.saveStatus.visible)


run(OtherVolumes)
