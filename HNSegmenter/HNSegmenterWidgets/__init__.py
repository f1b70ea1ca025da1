"""The Qt side of the Slicer module: one presenter a section of HNSegmenter.ui, and the child process."""
