"""Contours of the eyes, made by fit and by hand."""
