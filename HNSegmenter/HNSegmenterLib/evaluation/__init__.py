"""How good the contours are over a whole data set, on its CTs as they are and varied."""
