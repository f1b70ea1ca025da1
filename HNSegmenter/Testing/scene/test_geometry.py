"""Series that do not lie straight: in the scene as Slicer loads them,
to the network and into the RTSTRUCT where they really are."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from HNSegmenterLib import scene as hn
from HNSegmenterLib.dicom import read_planning_ct
from HNSegmenterLib.errors import UnusableInput
from HNSegmenterLib.rtstruct import write_rtstruct
from HNSegmenterLib.scene.grid import Grid
from Testing.phantoms import head_phantom, slice_positions, write_ct_series
from Testing.rtstruct.help import head_organs
from Testing.scene.help import add_ct, add_volume, contours, new_scene, slice_ids, slicer, voxels, vtk, write_results

SHAPE, SPACING, ORIGIN = (24, 96, 96), (2.5, 2.5, 3.0), (-118.71, -130.123456, -40.777)


def tilted_series(folder, degrees=12.0):
    """A CT scanned with a tilted gantry: every slice is shifted towards the feet's side of the one below."""
    spacing = (2.5, 2.5, 3.0)
    tilt = np.tan(np.radians(degrees)) * spacing[2]
    positions = slice_positions(30, spacing[2], ORIGIN, shear=(0, tilt, 0))
    write_ct_series(folder, head_phantom((30, 96, 96), spacing), spacing, positions=positions)
    return read_planning_ct(folder), positions


def upright(scene, ct, step=3.0):
    """The stack of pixels from the first slice's place upwards, as Slicer's reader holds it before any correction."""
    first = ct.slices[0]
    stack = sitk.GetImageFromArray(
        np.stack([pydicom.dcmread(s.path).pixel_array.astype(np.int16) - 1024 for s in ct.slices])
    )
    stack.SetSpacing((first.column_spacing, first.row_spacing, step))
    stack.SetOrigin(first.position)
    return add_volume(scene, stack, [s.sop_instance_uid for s in ct.slices], name="Crooked CT")


def slanted(scene, ct, positions):
    """A tilted series as Slicer loads it: its third axis runs from slice to slice."""
    node = upright(scene, ct)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    for row, value in enumerate((positions[1] - positions[0]) * [-1, -1, 1]):
        matrix.SetElement(row, 2, value)
    node.SetIJKToRASMatrix(matrix)
    return node


def bent(scene, ct, positions, step=3.0):
    """Uneven, shifted or rounded slices as Slicer loads them: a grid transform moves every slice to its place."""
    node, first = upright(scene, ct, step), ct.slices[0]
    grid = vtk.vtkImageData()
    columns, rows, slices = node.GetImageData().GetDimensions()
    grid.SetDimensions(2, 2, slices)
    grid.SetOrigin(node.GetOrigin())
    grid.SetSpacing(columns * first.column_spacing, rows * first.row_spacing, step)
    grid.AllocateScalars(vtk.VTK_DOUBLE, 3)
    even = np.array(first.position) + np.arange(slices)[:, None] * [0, 0, step]
    for k, shift in enumerate((positions - even) * [-1, -1, 1]):  # RAS
        for corner in range(4):
            for axis in range(3):
                grid.SetScalarComponentFromDouble(corner % 2, corner // 2, k, axis, shift[axis])
    bend = slicer.vtkOrientedGridTransform()
    direction = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(direction)
    bend.SetGridDirectionMatrix(direction)
    bend.SetDisplacementGridData(grid)
    transform = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "Crooked CT acquisition transform")
    transform.SetAndObserveTransformToParent(bend)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def uneven_series(folder):
    """Fine slices, then coarse and thicker ones."""
    z = np.r_[np.arange(20) * 2.0, 38 + np.arange(1, 15) * 3.0]
    positions = np.column_stack([np.full(34, -118.71), np.full(34, -130.12), z])
    thickness = {k: {"SliceThickness": "2" if k < 20 else "3"} for k in range(34)}
    write_ct_series(
        folder, head_phantom((34, 96, 96), (2.5, 2.5, 2.4)), (2.5, 2.5, 2.0), positions=positions, overrides=thickness
    )
    return read_planning_ct(folder), positions


def rounded_series(folder):
    """Slices 2.5 mm apart, at whole mm."""
    z = np.floor(np.arange(34) * 2.5 + 0.5)
    positions = np.column_stack([np.full(34, -118.71), np.full(34, -130.12), z])
    write_ct_series(folder, head_phantom((34, 96, 96), (2.5, 2.5, 2.5)), (2.5, 2.5, 2.5), positions=positions)
    return read_planning_ct(folder), positions


CROOKED = [
    (tilted_series, slanted, "tilted gantry"),
    (uneven_series, bent, "unevenly spaced"),
    (rounded_series, bent, "rounded to whole mm"),
]


@pytest.mark.parametrize(("write", "load", "word"), CROOKED)
def test_a_crooked_series_goes_the_librarys_way_to_its_real_slices(write, load, word, tmp_path):
    folder = tmp_path / "ct"
    ct, positions = write(folder)
    assert ct.resampled == (write != rounded_series)
    volume = load(new_scene(), ct, positions)
    assert hn.check_volume(volume) == []
    job = hn.HandOver.create(volume, tmp_path / "jobs", dicom_folder=folder)
    np.testing.assert_array_equal(voxels(sitk.ReadImage(str(job.folder / "img.nii"))), voxels(ct.image))
    assert any(word in sentence for sentence in job.warnings)
    drawn = head_organs(ct)
    write_results(tmp_path / "results", drawn)
    node = hn.show_results(tmp_path / "results", volume)
    assert node.GetParentTransformNode() is None  # DICOM's places, where the volume is shown too
    assert not hn.is_edited(node)
    for name, image in hn.labelmaps(node, ct.image).items():
        np.testing.assert_array_equal(voxels(image), voxels(drawn[name]), name)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    write_rtstruct(ct, drawn, hn.result_of(node), tmp_path / "library.dcm")
    assert contours(saved.path) == contours(tmp_path / "library.dcm")
    assert min(roi.dice for roi in saved.rois) >= 0.99
    assert any(word in sentence for sentence in saved.warnings)


@pytest.mark.parametrize("write", [tilted_series, uneven_series])
def test_a_crooked_series_that_was_loaded_upright_is_refused(write, tmp_path):
    """Slicer's setting can switch the correction off: everything would be drawn in the wrong place."""
    ct, _ = write(tmp_path / "ct")
    with pytest.raises(UnusableInput, match="Crooked CT does not lie where its DICOM slices are"):
        hn.planning_ct(upright(new_scene(), ct), tmp_path / "ct")


def test_positions_that_were_rounded_need_no_detour(tmp_path):
    """Slicer bends such a volume by hundredths of a millimetre: it counts as lying on its own grid."""
    folder = tmp_path / "ct"
    spacing = (2.5, 2.5, 2.996)
    rounded = np.round(slice_positions(30, spacing[2], ORIGIN), 2)
    write_ct_series(folder, head_phantom((30, 96, 96), spacing), spacing, positions=rounded)
    ct = read_planning_ct(folder)
    assert not ct.resampled
    volume = bent(new_scene(), ct, rounded, ct.image.GetSpacing()[2])
    job = hn.HandOver.create(volume, tmp_path / "jobs")  # no files are read
    np.testing.assert_array_equal(voxels(sitk.ReadImage(str(job.folder / "img.nii"))), voxels(ct.image))
    drawn = head_organs(ct)
    write_results(tmp_path / "results", drawn)
    node = hn.show_results(tmp_path / "results", volume)
    assert not hn.is_edited(node)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert {roi.dice for roi in saved.rois} == {1.0}
    assert hn.slicer_rt_problem(volume, ct) == "the extension SlicerRT is not installed"


def test_an_oblique_series_keeps_its_places(tmp_path):
    folder = tmp_path / "ct"
    angle = np.radians(8)
    orientation = (np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0)
    write_ct_series(folder, head_phantom(SHAPE, SPACING), SPACING, ORIGIN, orientation)
    ct = read_planning_ct(folder)
    assert ct.oblique
    scene = new_scene()
    volume = add_ct(scene, ct)
    assert Grid.of_volume(volume).oblique
    drawn = head_organs(ct)
    write_results(tmp_path / "results", drawn)
    node = hn.show_results(tmp_path / "results", volume)
    for name, image in hn.labelmaps(node, volume).items():
        np.testing.assert_array_equal(voxels(image), voxels(drawn[name]), name)
    saved = hn.export_rtstruct(node, tmp_path / "out", dicom_folder=folder)
    assert {roi.dice for roi in saved.rois} == {1.0}
    assert slice_ids(saved.path) <= {s.sop_instance_uid for s in ct.slices}
