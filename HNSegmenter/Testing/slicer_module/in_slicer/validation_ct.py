"""A real CT by clicks alone: folder dialog, Segment, a stroke of the brush, Save; SlicerRT reads the RTSTRUCT back.

HNSEG_TEST_NIFTI: a CT in HU, written as a DICOM series of a patient who is no one.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pydicom
import SimpleITK as sitk
import slicer
from driver import WidgetTest, chosen_path, paint, run, screenshot, wait

from HNSegmenterLib import scene
from HNSegmenterLib.sample.series import MadeUp, write_series

WHO = MadeUp(
    "TEST^Validation", "HNSEG-VALIDATION", "De-identified", "Planning CT", "De-identified research CT", "validation CT"
)


class ValidationCt(WidgetTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ct = write_series(sitk.ReadImage(os.environ["HNSEG_TEST_NIFTI"]), cls.folder / "patient" / "CT", WHO)

    def test_load_segment_edit_save_by_clicks(self):
        self.dialogs.answers = {"QFileDialog": ("Choose", chosen_path(self.ct))}
        self.ui.loadFolderButton.click()
        self.assertEqual(self.dialogs.seen, ["QFileDialog"])
        wait(lambda: self.ui.segmentButton.enabled, 60)
        volume = self.ui.inputSelector.currentNode()
        self.segmented()
        node = self.ui.segmentationSelector.currentNode()
        organ = self.edit("Parotid_L", node)
        drawn = voxels(node, volume)
        started = time.monotonic()
        self.ui.saveButton.click()
        print(f"Save took {time.monotonic() - started:.1f} s")
        self.assertIn("Saved and read back", self.ui.saveStatus.text)
        screenshot("validation")
        path = Path(self.ui.saveFolderEdit.currentPath) / "rtstruct.dcm"
        self.check_names(pydicom.dcmread(path), organ)
        self.check_voxels(path, volume, drawn)

    def edit(self, organ, node):
        """A stroke over the organ's edge, by the mouse, in the Segment Editor that the button opens."""
        row = self.click_organ(organ)
        before = scene.organ_rows(node)[row].volume_ml
        self.ui.editButton.click()
        editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
        self.assertEqual(node.GetSegmentation().GetSegment(editor.currentSegmentID()).GetName(), organ)
        paint(editor, (0, 0), (20, 0), 10)
        slicer.util.selectModule("HNSegmenter")
        slicer.app.processEvents()
        self.assertGreater(scene.organ_rows(node)[row].volume_ml, before)
        return organ

    def check_names(self, written, edited):
        algorithms = {roi.ROIName: roi.ROIGenerationAlgorithm for roi in written.StructureSetROISequence}
        self.assertEqual({name for name, algorithm in algorithms.items() if algorithm == "SEMIAUTOMATIC"}, {edited})
        originals = {
            str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in Path(self.ct).iterdir()
        }
        contours = [contour for roi in written.ROIContourSequence for contour in roi.ContourSequence]
        self.assertLessEqual(
            {contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours}, originals
        )

    def check_voxels(self, path, volume, drawn):
        """As Slicer's own import (SlicerRT) reads the file, on the CT's voxels."""
        from DICOMLib import DICOMUtils

        if "DicomRtImportExportPlugin" not in slicer.modules.dicomPlugins:
            self.skipTest("saved, but SlicerRT is not installed to read it back")
        before = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        DICOMUtils.importDicom(str(path.parent))
        DICOMUtils.loadSeriesByUID([str(pydicom.dcmread(path).SeriesInstanceUID)])
        read = (set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) - before).pop()
        read.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        for name, mask in voxels(read, volume).items():
            overlap = (
                2 * np.count_nonzero(mask & drawn[name]) / (np.count_nonzero(mask) + np.count_nonzero(drawn[name]))
            )
            print(f"{name}: Dice {overlap:.4f} of {np.count_nonzero(drawn[name])} voxels")
            self.assertGreaterEqual(overlap, 0.99, name)
        self.assertEqual(len(read.GetSegmentation().GetSegmentIDs()), len(drawn))


def voxels(node, volume) -> dict:
    """Segment name -> bool [k, j, i] on the CT's grid."""
    return {name: sitk.GetArrayFromImage(image) > 0 for name, image in scene.labelmaps(node, volume).items()}


run(ValidationCt)
