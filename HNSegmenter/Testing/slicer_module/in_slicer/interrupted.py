"""What may happen while a run goes on: cancel, scene closed, CT deleted, another CT loaded, module reloaded."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import slicer
from driver import WidgetTest, open_module, run, screenshot, wait


class Interrupted(WidgetTest):
    def start(self):
        self.drop(self.ct)
        self.ui.segmentButton.click()
        wait(lambda: self.logic.poll()["stage"] is not None, 60)
        self.pid = self.logic._run._child.pid

    def gone(self):
        wait(lambda: not self.logic.running, 30)
        wait(lambda: not Path(f"/proc/{self.pid}").exists() or "Z" in Path(f"/proc/{self.pid}/stat").read_text(), 10)
        self.assertEqual(self.jobs(), [])

    def test_cancel(self):
        self.start()
        self.ui.cancelButton.click()
        self.assertIn("Cancelling", self.ui.stageLabel.text)
        self.gone()
        self.assertIn("Cancelled", self.ui.stageLabel.text)
        self.assertTrue(self.ui.segmentButton.enabled)
        screenshot("cancelled")

    def test_second_cancel_kills(self):
        self.start()
        self.ui.cancelButton.click()
        self.ui.cancelButton.click()
        wait(lambda: not self.logic.running, 30)
        self.assertIn("Cancelled", self.ui.stageLabel.text)
        self.segmented()  # which removes what the killed one left
        self.assertEqual(self.jobs(), [])

    def test_scene_closed(self):
        self.start()
        slicer.mrmlScene.Clear(False)
        self.gone()
        self.assertFalse(self.ui.segmentButton.enabled)

    def test_volume_deleted(self):
        self.start()
        slicer.mrmlScene.RemoveNode(self.ui.inputSelector.currentNode())
        self.gone()
        self.assertEqual(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"), [])

    def test_second_volume_loaded(self):
        self.start()
        first = self.ui.inputSelector.currentNode()
        second = slicer.modules.volumes.logic().CloneVolume(slicer.mrmlScene, first, "second")
        self.ui.inputSelector.setCurrentNode(second)
        wait(lambda: self.ui.segmentButton.enabled, 300)
        node = self.ui.segmentationSelector.currentNode()
        from HNSegmenterLib import scene

        self.assertEqual(scene.volume_of(node), first)

    def test_module_reloaded(self):
        self.start()
        self.widget.onReload()
        wait(lambda: not Path(f"/proc/{self.pid}").exists(), 20)
        self.assertEqual(self.jobs(), [])
        type(self).widget = open_module()

    def test_failure_is_a_sentence(self):
        self.drop(self.ct)
        import numpy as np

        volume = self.ui.inputSelector.currentNode()
        slicer.util.updateVolumeFromArray(volume, np.full_like(slicer.util.arrayFromVolume(volume), -1000))
        self.dialogs.answers = {"": "OK"}
        self.ui.segmentButton.click()
        wait(lambda: not self.logic.running and bool(self.dialogs.seen), 120)
        self.assertIn("Failed", self.ui.stageLabel.text)
        self.assertNotIn("img.nii", self.ui.stageLabel.text)
        screenshot("failed")


run(Interrupted)
