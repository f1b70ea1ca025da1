"""Which series is loaded, and how: folder dialog, file dropped, several planning CTs, tilted and oblique slices."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[3])]

import numpy as np
import pydicom
import qt
import SimpleITK as sitk
import slicer
from driver import WidgetTest, chosen_item, chosen_path, run, screenshot, wait

from HNSegmenterLib.sample import sample_volume, write_dicom
from HNSegmenterLib.sample.series import sample_patient
from Testing.phantoms import AXIAL, slice_positions, write_ct_series


class OtherSeries(WidgetTest):
    def loaded(self, slices: int):
        wait(lambda: self.ui.segmentButton.enabled, 60)
        volume = self.ui.inputSelector.currentNode()
        self.assertEqual(len(volume.GetAttribute("DICOM.instanceUIDs").split()), slices)
        return volume

    def test_folder_dialog(self):
        self.dialogs.answers = {"QFileDialog": ("Choose", chosen_path(self.ct))}
        self.ui.loadFolderButton.click()
        self.assertEqual(self.dialogs.seen, ["QFileDialog"])
        self.loaded(len(list(Path(self.ct).iterdir())))

    def test_one_file_of_a_series_is_dropped(self):
        self.drop(min(Path(self.ct).iterdir()))
        self.loaded(len(list(Path(self.ct).iterdir())))

    def test_several_planning_cts(self):
        both = self.folder / "both"
        for seed in (0, 1):
            write_dicom(both / str(seed), seed)
        self.dialogs.answers = {"HNSegmenterSeries": "Cancel", "QFileDialog": ("Choose", chosen_path(both))}
        self.ui.loadFolderButton.click()
        self.assertEqual(self.dialogs.seen, ["QFileDialog", "HNSegmenterSeries"])
        self.assertIsNone(self.ui.inputSelector.currentNode())
        self.dialogs.answers["HNSegmenterSeries"] = ("OK", chosen_item("both/1"))
        self.ui.loadFolderButton.click()
        volume = self.loaded(len(list((both / "1").iterdir())))
        first = volume.GetAttribute("DICOM.instanceUIDs").split()[0]
        series = pydicom.dcmread(slicer.dicomDatabase.fileForInstance(first)).SeriesInstanceUID
        self.assertEqual(series, sample_patient(1).uid("series"))
        screenshot("several")

    def test_tilted_series(self):
        shown, timer = set(), qt.QTimer()
        timer.setInterval(0)
        timer.connect("timeout()", lambda: shown.add(self.ui.stageLabel.text))
        timer.start()
        said = self.segmented_and_saved("tilted", AXIAL, (0.0, 0.17, 0.0))  # 5 degrees of 2 mm
        timer.stop()
        self.assertIn("tilted", said)
        self.assertTrue(
            [text for text in shown if "Reading the files" in text], "the window did not paint at the click"
        )

    def test_oblique_series(self):
        cosine, sine = np.cos(np.radians(8)), np.sin(np.radians(8))
        said = self.segmented_and_saved("oblique", (1, 0, 0, 0, cosine, sine), (0, 0, 0))
        self.assertIn("oblique", said)

    def segmented_and_saved(self, name, orientation, shear) -> str:
        """The sample's slices in other places, by clicks up to the RTSTRUCT; what Save said."""
        ct = sample_volume()[0]
        spacing, origin = ct.GetSpacing(), ct.GetOrigin()
        positions = slice_positions(ct.GetDepth(), spacing[2], origin, orientation, shear)
        write_ct_series(
            self.folder / name, sitk.GetArrayFromImage(ct), spacing, orientation=orientation, positions=positions
        )
        self.drop(self.folder / name)
        self.segmented()
        screenshot(name)
        self.assertIn("draws the contours itself", self.ui.contentsLabel.text)  # said before it is saved, too
        self.ui.saveButton.click()
        said = self.ui.saveStatus.text
        self.assertIn("Saved and read back", said)
        written = pydicom.dcmread(Path(self.ui.saveFolderEdit.currentPath) / "rtstruct.dcm")
        originals = {
            str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID)
            for file in (self.folder / name).iterdir()
        }
        contours = [contour for roi in written.ROIContourSequence for contour in roi.ContourSequence]
        self.assertLessEqual(
            {contour.ContourImageSequence[0].ReferencedSOPInstanceUID for contour in contours}, originals
        )
        return said


run(OtherSeries)
