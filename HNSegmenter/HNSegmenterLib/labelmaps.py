"""Many binary labelmaps of one CT in little memory: each is kept as the box around its organ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import SimpleITK as sitk

from .grids import bounding_box


class Labelmaps(Mapping[str, sitk.Image]):
    """TG-263 name -> labelmap (uint8, 0 or 1) on the CT's grid, laid out whole each time that it is asked for.

    Sixty whole labelmaps of 512 x 512 x 136 voxels would be 2 GB. Whoever takes an array view of one holds the image,
    too: nobody else does.
    """

    def __init__(self, grid: sitk.Image):
        self._grid = grid
        self._boxes: dict[str, tuple[sitk.Image, tuple[slice, slice, slice]]] = {}

    def keep(self, name: str, labelmap: sitk.Image) -> None:
        """labelmap: of the grid's size, not empty; the grid's geometry counts, not its own."""
        box = bounding_box(sitk.GetArrayViewFromImage(labelmap))
        if box is None:
            raise ValueError(f"the labelmap of {name} is empty")
        k, j, i = box
        self._boxes[name] = labelmap[i, j, k], (i, j, k)

    def __getitem__(self, name: str) -> sitk.Image:
        cut, (i, j, k) = self._boxes[name]
        whole = sitk.Image(self._grid.GetSize(), sitk.sitkUInt8)
        whole[i, j, k] = cut
        whole.CopyInformation(self._grid)
        return whole

    def __iter__(self) -> Iterator[str]:
        return iter(self._boxes)

    def __len__(self) -> int:
        return len(self._boxes)
