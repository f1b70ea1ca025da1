"""Another model, by clicks: added, ticked, alone and beside the shipped one, said in the table and in the RTSTRUCT;
taken away again.

HNSEG_TEST_MODELS: a folder with models to add: parotids/ (the shipped network, of which it draws the parotid glands),
two_organs.zip and damaged/.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import pydicom
import qt
import slicer
from driver import WidgetTest, chosen_path, run, screenshot, wait

from HNSegmenterLib import models, scene
from HNSegmenterLib.settings import Settings

SOURCES = Path(os.environ["HNSEG_TEST_MODELS"])
SHIPPED, CLINIC, TWO = "hn-densevnet", "clinic-parotids", "two-organs-test"


class Models(WidgetTest):
    def add(self, answer, source, kind):
        """By the button and both dialogs."""
        self.dialogs.answers = {"HNSegmenterAddModel": answer, "QFileDialog": (kind, chosen_path(source)), "": "OK"}
        self.ui.addModelButton.click()
        wait(lambda: not self.logic.running, 60)
        self.dialogs.answers = {}

    def texts(self):
        return [self.ui.modelList.item(n).text() for n in range(self.ui.modelList.count)]

    def ticked(self):
        view = self.ui.modelList
        checked = [view.item(n) for n in range(view.count) if view.item(n).checkState() == qt.Qt.Checked]
        return [item.text().split()[0] for item in checked]

    def test_1_the_shipped_model_takes_one_line(self):
        self.assertEqual(self.ticked(), [SHIPPED])
        self.assertFalse(self.ui.modelLabel.visible)
        self.assertFalse(self.ui.removeModelButton.visible)
        self.assertLess(self.ui.modelList.height, 40)
        self.assertIn("Brainstem, SpinalCord", self.ui.modelList.item(0).toolTip())

    def test_2_models_are_added_from_a_folder_and_a_zip(self):
        self.add("From a folder...", SOURCES / "parotids", "Choose")
        self.assertIn("Added clinic-parotids 1.0", self.ui.stageLabel.text)
        self.add("From a ZIP file...", SOURCES / "two_organs.zip", "Open")
        self.assertIn("Added two-organs-test 1", self.ui.stageLabel.text)
        self.assertEqual([text.split()[0] for text in self.texts()], [SHIPPED, CLINIC, TWO])
        self.assertEqual(self.ticked(), [SHIPPED])
        self.assertIn("Draws Brainstem", self.ui.modelLabel.text)
        screenshot("models-added")
        self.add("From a folder...", SOURCES / "damaged", "Choose")
        self.assertIn("does not match its checksum", self.ui.stageLabel.text)
        self.assertEqual(len(self.texts()), 3)

    def test_3_another_model_is_chosen_by_a_click_and_kept(self):
        self.drop(self.ct)
        self.click_model(SHIPPED)
        self.assertEqual(self.ticked(), [])
        self.assertIn("Tick a model", self.ui.modelLabel.text)
        self.assertFalse(self.ui.segmentButton.enabled)
        self.click_model(CLINIC)
        self.assertEqual(self.ticked(), [CLINIC])
        self.assertIn("Draws Parotid_L, Parotid_R", self.ui.modelLabel.text)
        self.assertTrue(self.ui.segmentButton.enabled)
        self.segmented()
        node = self.ui.segmentationSelector.currentNode()
        self.assertEqual({row.name for row in scene.organ_rows(node)}, {"Parotid_L", "Parotid_R"})
        self.assertEqual(self.ui.organTable.rowCount, 2)
        self.assertIn("clinic-parotids 1.0", self.ui.organTable.item(0, 1).toolTip())
        screenshot("model-chosen")
        self.assertEqual(Settings.load().models, ["clinic-parotids@1.0"])
        self.assertEqual(self.widget.models(), ["clinic-parotids@1.0"])

    def test_4_two_models_make_one_structure_set_that_says_which_drew_what(self):
        self.assertEqual(self.ticked(), [CLINIC], "the choice is kept")
        self.drop(self.ct)
        self.click_model(SHIPPED)
        self.assertEqual(self.ui.modelLabel.text.splitlines()[0], "clinic-parotids 1.0: Parotid_L, Parotid_R")
        self.assertIn("Brainstem, SpinalCord, Eye_L, Eye_R", self.ui.modelLabel.text.splitlines()[1])
        self.segmented()
        lines = [self.ui.organTable.item(row, 0).text() for row in range(self.ui.organTable.rowCount)]
        shipped = f"{SHIPPED} {models.shipped_model().version}"
        self.assertEqual(lines, ["clinic-parotids 1.0", "", "", shipped, "", "", "", ""])
        screenshot("models-two")
        self.click_organ("Eye_L")
        rows = {row.name: row for row in scene.organ_rows(self.ui.segmentationSelector.currentNode())}
        self.assertEqual(rows["Parotid_L"].model, "clinic-parotids 1.0")
        self.assertIn(SHIPPED, rows["Brainstem"].model)
        self.ui.saveButton.click()
        self.assertIn("Saved and read back", self.ui.saveStatus.text)
        written = pydicom.dcmread(Path(self.ui.saveFolderEdit.currentPath) / "rtstruct.dcm")
        said = {roi.ROIName: roi.ROIDescription for roi in written.StructureSetROISequence}
        self.assertIn("clinic-parotids 1.0", said["Parotid_R"])
        self.assertIn(SHIPPED, said["SpinalCord"])
        self.assertNotIn("clinic-parotids", said["SpinalCord"])

    def test_5_a_scene_remembers_its_models(self):
        file = self.folder / "scene.mrml"
        self.drop(self.ct)
        self.segmented()
        slicer.util.saveScene(str(file))
        self.click_model(CLINIC)
        self.assertEqual(self.ticked(), [SHIPPED])
        slicer.mrmlScene.Clear(False)
        self.assertEqual(self.ticked(), [SHIPPED])
        slicer.util.loadScene(str(file))
        slicer.util.selectModule("HNSegmenter")
        self.assertEqual(self.ticked(), [SHIPPED, CLINIC])
        self.assertEqual(Settings.load().models, [], "what is kept is what was ticked here")
        slicer.mrmlScene.Clear(False)
        slicer.app.processEvents()
        self.assertEqual(self.ticked(), [SHIPPED])

    def test_6_a_damaged_model_is_grey_and_says_why(self):
        (models.find(CLINIC).folder / "organs.json").write_text("{}")
        slicer.util.selectModule("Data")
        slicer.util.selectModule("HNSegmenter")
        item = self.ui.modelList.item(self.model_row(CLINIC))
        self.assertIn("damaged", item.text())
        self.assertIn("does not match its checksum", " ".join(item.toolTip().split()))
        self.click_model(CLINIC)
        self.assertEqual(self.ticked(), [SHIPPED])
        self.assertIn("does not match its checksum", self.ui.modelLabel.text)
        screenshot("model-damaged")

    def test_7_models_are_removed_but_not_the_shipped_one(self):
        self.ui.modelList.setCurrentRow(0)
        self.assertFalse(self.ui.removeModelButton.enabled)
        for name in (CLINIC, TWO):
            self.ui.modelList.setCurrentRow(self.model_row(name))
            self.assertTrue(self.ui.removeModelButton.enabled)
            self.dialogs.answers = {"HNSegmenterRemoveModel": "Remove it"}
            self.ui.removeModelButton.click()
        self.assertEqual([text.split()[0] for text in self.texts()], [SHIPPED])
        self.assertEqual([model.name for model in models.all_models()], [SHIPPED])
        self.assertFalse(self.ui.removeModelButton.visible)


run(Models)
