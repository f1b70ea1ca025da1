"""From masks to closed outlines in the slices' planes. It knows no data set."""
