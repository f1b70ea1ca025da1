"""Grids of voxels between VTK (RAS) and SimpleITK (LPS)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from ..dicom.geometry import are_oblique
from ..grids import TOLERANCE_MM

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Grid:
    """size: voxels along (i, j, k); ijk_to_ras: (4, 4), voxel (i, j, k, 1) to mm in RAS."""

    size: tuple[int, int, int]
    ijk_to_ras: np.ndarray

    @classmethod
    def of_volume(cls, volume) -> Grid:
        """The volume's own grid: a transform that it is under does not count."""
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        return cls(tuple(volume.GetImageData().GetDimensions()), as_array(matrix))

    @classmethod
    def of_image(cls, image: sitk.Image) -> Grid:
        matrix = np.eye(4)
        matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        matrix[:3, 3] = image.GetOrigin()
        return cls(image.GetSize(), RAS_TO_LPS @ matrix)

    @classmethod
    def of_segmentation(cls, node) -> Grid | None:
        """The reference geometry of a segmentation; None if it has none."""
        geometry = slicer.vtkOrientedImageData()
        name = slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
        text = node.GetSegmentation().GetConversionParameter(name)
        if not text or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, geometry, False):
            return None
        return cls(tuple(geometry.GetDimensions()), image_to_world(geometry))

    @property
    def spacing(self) -> np.ndarray:
        return np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000

    @property
    def orthogonal(self) -> bool:
        axes = self.ijk_to_ras[:3, :3] / self.spacing
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3)

    @property
    def oblique(self) -> bool:
        """Off the patient's axes, as a DICOM series is said to be."""
        return are_oblique((self.ijk_to_ras[:3, :3] / self.spacing).T)

    def same_place(self, other: Grid, tolerance_mm: float = TOLERANCE_MM) -> bool:
        """Equal size, and every corner voxel near the other's; default a tenth of a millimetre: NIfTI keeps float32."""
        if tuple(self.size) != tuple(other.size):
            return False
        corners = np.array([(*index, 1) for index in product(*((0, size - 1) for size in self.size))])
        return bool(np.abs(corners @ (self.ijk_to_ras - other.ijk_to_ras).T).max() <= tolerance_mm)

    def place(self, image: sitk.Image) -> sitk.Image:
        """Give an image of this size this grid's place."""
        lps = RAS_TO_LPS @ self.ijk_to_ras
        image.SetSpacing(self.spacing.tolist())
        image.SetDirection((lps[:3, :3] / self.spacing).ravel().tolist())
        image.SetOrigin(lps[:3, 3].tolist())
        return image

    def shift_of(self, other: np.ndarray) -> np.ndarray | None:
        """The whole number of voxels (i, j, k) by which the lattice `other` (4, 4 to RAS) is shifted against this one.

        None if it is another lattice, off by more than a tenth of a millimetre at a corner of this grid.
        """
        shift = np.round((np.linalg.inv(self.ijk_to_ras) @ other)[:3, 3])
        moved = other.copy()
        moved[:3, 3] -= other[:3, :3] @ shift
        return shift.astype(int) if self.same_place(Grid(self.size, moved)) else None

    def oriented_image(self):
        """An empty vtkOrientedImageData of this geometry, to resample to."""
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(*self.size)
        image.SetImageToWorldMatrix(as_matrix(self.ijk_to_ras))
        return image


def as_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def as_matrix(values: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(np.asarray(values, float).ravel().tolist())
    return matrix


def image_to_world(image) -> np.ndarray:
    """(4, 4) of a vtkOrientedImageData: its voxel (i, j, k, 1), counted as its extent counts, to RAS."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return as_array(matrix)


def nodes_of(scene, kind: str) -> list:
    """All nodes of a class in a scene."""
    return [scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind))]
