"""Sixty organs: the table scrolls and is filtered, organs are left out before saving, and that is said."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pydicom
import qt
import SimpleITK as sitk
import slicer
from driver import SAVE, Stalls, WidgetTest, run, screenshot

from HNSegmenterLib import scene
from HNSegmenterLib.result import Organ, Result
from HNSegmenterWidgets.organ_table import LOOK_AT, ORGAN

PAIRED = (
    "Parotid", "Glnd_Submand", "Eye", "Lens", "OpticNrv", "Cochlea", "Cornea", "Retina", "LacrimalGlnd", "TMjoint",
    "Hippocampus", "Lobe_Temporal", "A_Carotid", "V_Jugular", "Musc_Masseter", "Musc_Pterygoid_M",
    "Musc_Pterygoid_L", "Musc_Sclmast", "Musc_Digastric", "BuccalMucosa", "Clavicle", "Lung", "BrachialPlex",
    "Scapula",
)  # fmt: skip
SINGLE = (
    "Brainstem", "SpinalCord", "Bone_Mandible", "OpticChiasm", "Pituitary", "Larynx", "Cavity_Oral", "Esophagus_S",
    "Glnd_Thyroid", "Trachea", "Brain", "Pharynx",
)  # fmt: skip
NAMES = [*SINGLE, *(f"{name}_{side}" for name in PAIRED for side in "LR")]
DRAWN_BY = {"name": "made-up", "version": "1", "digest": "sha256:" + "0" * 64}


class ManyOrgans(WidgetTest):
    def setUp(self):
        super().setUp()
        self.drop(self.ct)
        volume = self.ui.inputSelector.currentNode()
        self.widget.onSegmented(scene.show_results(results(volume, self.folder), volume))
        slicer.app.processEvents()

    def shown(self):
        table = self.ui.organTable
        return [table.item(row, ORGAN).text() for row in range(table.rowCount) if not table.isRowHidden(row)]

    def type(self, text):
        self.ui.organFilterEdit.text = text
        slicer.app.processEvents()

    def test_filter_leave_out_and_save(self):
        self.assertEqual(len(NAMES), 60)
        self.assertEqual(self.shown(), NAMES)
        self.assertLessEqual(self.ui.organTable.height, 400)
        self.assertTrue(self.ui.organTable.verticalScrollBar().visible)
        self.assertTrue(self.ui.organFilterFrame.visible)
        self.assertIn("and 48 more", self.ui.contentsLabel.text)
        self.click_organ("Larynx")
        screenshot("organs-sixty")
        self.type("musc")
        self.assertEqual(len(self.shown()), 10)
        self.ui.saveNoneButton.click()
        screenshot("organs-filtered")
        self.type("OPTIC _l")
        self.assertEqual(self.shown(), ["OpticNrv_L"])
        self.type("")
        self.click_organ("Brainstem", SAVE)
        self.click_organ("Lung_R", SAVE)
        self.click_organ("Lung_R", SAVE)
        row = self.organ_row("Brainstem")
        self.assertEqual(self.ui.organTable.item(row, SAVE).checkState(), qt.Qt.Unchecked)
        self.assertIn("left out", self.ui.organTable.item(row, LOOK_AT).text())
        self.type("left out")
        self.assertEqual(len(self.shown()), 11)
        self.assertIn("Left out, not saved: Brainstem, Musc_", self.ui.contentsLabel.text)
        screenshot("organs-left-out")
        self.time_of_ticks_and_of_entering()
        node = self.ui.segmentationSelector.currentNode()
        self.assertEqual(node.GetSegmentation().GetNumberOfSegments(), 60)
        self.ui.saveButton.click()
        self.assertIn("Saved and read back", self.ui.saveStatus.text)
        path = Path(self.ui.saveFolderEdit.currentPath) / "rtstruct.dcm"
        self.assertEqual(written(path), {name for name in NAMES if name != "Brainstem" and "Musc" not in name})
        self.assertIn("Brainstem: found, but left out", pydicom.dcmread(path).StructureSetDescription)
        screenshot("organs-saved")
        self.ui.saveAllButton.click()  # those that are shown: all that were left out
        self.assertEqual(len(self.shown()), 11, "they are shown until the filter is typed anew")
        self.assertEqual(scene.left_out(node), [])
        self.assertTrue(self.ui.saveButton.enabled)
        self.assertNotEqual(Path(self.ui.saveFolderEdit.currentPath), path.parent)

    def time_of_ticks_and_of_entering(self):
        stalls = Stalls()
        self.click_organ("Brainstem", SAVE)
        self.click_organ("Brainstem", SAVE)
        print("longest stall at a tick:", stalls.restart())
        slicer.util.selectModule("Data")
        slicer.app.processEvents()
        stalls.restart()
        slicer.util.selectModule("HNSegmenter")
        slicer.app.processEvents()
        print("longest stall when the module is entered:", stalls.restart())
        stalls.stop()

    def test_none_at_all_cannot_be_saved(self):
        self.type("")
        self.ui.saveNoneButton.click()
        self.assertFalse(self.ui.saveButton.enabled)
        self.click_organ("Larynx", SAVE)
        self.assertTrue(self.ui.saveButton.enabled)


def results(volume, folder) -> Path:
    """A results folder of boxes that do not touch, in the body."""
    home = folder / f"results-{len(list(folder.glob('results-*')))}"
    (home / "segmentations").mkdir(parents=True)
    image = scene.image_of(volume)
    size = np.array(image.GetSize())
    organs = []
    for number, name in enumerate(NAMES):
        place = np.array(np.unravel_index(number, (4, 4, 4)))[::-1]
        middle = size * (0.32 + 0.12 * place)
        axes = np.indices(size[::-1], sparse=True)
        radii = size * (0.045, 0.045, 0.05)
        inside = sum(((axis - m) / r) ** 2 for axis, m, r in zip(axes[::-1], middle, radii, strict=True)) < 1
        label = sitk.GetImageFromArray(inside.astype(np.uint8))
        label.CopyInformation(image)
        sitk.WriteImage(label, str(home / "segmentations" / f"{name}.nii.gz"))
        hue = qt.QColor.fromHsv(number * 47 % 360, 200, 230)
        color = (hue.red(), hue.green(), hue.blue())
        organs.append(Organ(name, number + 1, color, file=f"{name}.nii.gz", voxels=int(inside.sum()), volume_ml=1.0))
    Result(model=DRAWN_BY, organs=organs).write(home / "result.json")
    return home


def written(path) -> set[str]:
    return {roi.ROIName for roi in pydicom.dcmread(path).StructureSetROISequence}


run(ManyOrgans)
