"""From the scene to files: RTSTRUCT by our writer or SlicerRT's, labelmaps."""
