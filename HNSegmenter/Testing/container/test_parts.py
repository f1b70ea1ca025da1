"""The container's parts one by one: the grids' arithmetic, tiles, one part per organ, threads."""

from __future__ import annotations

import signal
import sys

import numpy as np
import pytest

from Testing.container.phantoms import PREDICT, centred_affine

sys.path.insert(0, str(PREDICT.parent))
from hn_network import main
from hn_network.grid import AlignedGrid, Canonical, tilt_degrees
from hn_network.model import Organ
from hn_network.own import tiles
from hn_network.own.oblique import ObliqueGrid
from hn_network.own.parts import parts_of_organ
from hn_network.own.postprocess import component_of, is_speck

NETWORK_MM = (2.0, 2.0, 3.0)
CORD = Organ("Rueckenmark", 2, [0, 0, 0], {"value": "2748008", "scheme": "SCT", "meaning": "Spinal cord"}, None, 2)
PAROTID = Organ("Parotid_L", 3, [0, 0, 0], {"value": "45289007", "scheme": "SCT", "meaning": "Parotid gland"}, None, 3)
NO_CODE = Organ("SpinalCord", 2, [0, 0, 0], None, None, 2)


def steps(mm: float = 10 ** (1 / 3)) -> np.ndarray:
    """Of cubic voxels in the patient's axes, 0.01 ml each if nothing is said."""
    return np.eye(3)[::-1] * mm


SHAPE = (60, 50, 40)  # (i, j, k)


def whole(grid) -> tuple[slice, slice, slice]:
    return tuple(slice(0, n) for n in grid.shape)


def network_points(shape, spacing) -> np.ndarray:
    """Millimetres (z, y, x, 3) from the image's middle of every network voxel, in (x, y, z)."""
    axes = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, spacing[::-1])]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return np.stack([x, y, z], axis=-1)


@pytest.mark.parametrize("spacing", [(1.0, 1.2, 2.5), (4.0, 4.0, 3.0), (0.5, 0.5, 1.0)])
def test_a_field_that_rises_evenly_keeps_its_values_where_they_are(spacing):
    """Averaging and interpolating both keep a linear field, so any shift by a part of a voxel would show."""
    gradient = np.array([12, -9, 6]) / spacing  # HU per mm
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE[::-1]), indexing="ij"), axis=-1)[..., ::-1]
    image = np.rint((voxels - (np.array(SHAPE) - 1) / 2) * spacing @ gradient).astype(np.int16)
    grid = AlignedGrid(image, np.array(spacing), NETWORK_MM, threads=2)
    expected = network_points(grid.shape, NETWORK_MM) @ gradient
    inner = tuple(slice(3, -3) for _ in range(3))
    # The image itself is rounded to 1 HU; 0.6 HU are 1/20 of a voxel.
    assert np.abs(grid.sample(whole(grid)) - expected)[inner].max() < 0.6


def test_a_finer_scanner_shows_the_network_no_more_than_the_one_it_knows():
    """A sharp edge is as wide, on average over where it lies in a voxel,
    scanned at 1 mm as at the 4 mm the network knows."""

    def edge(voxel_mm: int, at_mm: int) -> np.ndarray:
        fine = np.repeat([0.0, 1000.0], [80 + at_mm, 80 - at_mm])
        image = np.broadcast_to(fine.reshape(-1, voxel_mm).mean(1), (8, 8, 160 // voxel_mm)).astype(np.int16)
        grid = AlignedGrid(image, np.array([voxel_mm, 2.0, 2.0]), (2.0, 2.0, 2.0), 1, resolution_mm=(4.0, 0.0, 0.0))
        return np.roll(np.diff(grid.sample(whole(grid))[4, 4]), -at_mm // 2) / 1000

    positions = 2.0 * np.arange(79) - 78
    widths = [np.mean([edge(voxel_mm, at) @ positions**2 for at in (0, 2, 4, 6)]) for voxel_mm in (1, 4)]
    assert widths[0] == pytest.approx(widths[1], rel=0.05)


@pytest.mark.parametrize("degrees", [0, 10, 40])
def test_turned_grids_read_the_same_field(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn * 2.0
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    field = (voxels @ affine[:3, :3].T + affine[:3, 3]) @ [10, -7, 4]
    image = np.rint(field).astype(np.int16).T
    grid = ObliqueGrid(AlignedGrid(image, np.full(3, 2.0), (2.0,) * 3, 1), affine, NETWORK_MM)
    sampled = grid.sample(whole(grid))
    expected = network_points(grid.shape, NETWORK_MM) @ [10, -7, 4]
    middle = tuple(slice(n // 2 - 4, n // 2 + 4) for n in grid.shape)
    assert np.abs(sampled - expected)[middle].max() < 0.6


@pytest.mark.parametrize("oblique", [False, True])
def test_a_box_of_probabilities_comes_back_where_it_was(oblique):
    image = np.zeros(SHAPE[::-1], np.int16)
    spacing = np.array([1.0, 1.0, 1.5])
    affine = centred_affine(np.eye(3), tuple(spacing), SHAPE)
    grid = AlignedGrid(image, spacing, NETWORK_MM, 1)
    if oblique:
        grid = ObliqueGrid(grid, affine, NETWORK_MM)
    points = network_points(grid.shape, NETWORK_MM)
    probability = np.clip(1.5 - np.linalg.norm(points - [5, -4, 6], axis=-1) / 12, 0, 1).astype(np.float32)
    box = tuple(slice(2, n - 2) for n in grid.shape)
    mask, where = grid.restore(probability[box], box)
    found = np.zeros(image.shape, bool)
    found[where] = mask
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE[::-1]), indexing="ij"), axis=-1)[..., ::-1]
    truth = np.linalg.norm(voxels * spacing + affine[:3, 3] - [5, -4, 6], axis=-1) < 12
    assert 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth)) > 0.97


def test_slabs_and_threads_do_not_change_a_value():
    image = np.random.default_rng(0).integers(-1000, 1000, SHAPE[::-1]).astype(np.int16)
    one, two = (AlignedGrid(image, np.array([1.0, 1.0, 2.0]), NETWORK_MM, threads) for threads in (1, 2))
    assert np.array_equal(one.sample(whole(one)), two.sample(whole(two)))


def test_every_way_to_store_axes_is_undone():
    """Canonical views show the same patient: x to the left, y to the back, z to the head."""
    for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0)):
        for signs in ((1, 1, 1), (-1, 1, -1), (-1, -1, -1)):
            directions = np.zeros((3, 3))
            for patient_axis, (image_axis, sign) in enumerate(zip(order, signs)):
                directions[patient_axis, image_axis] = sign
            affine = centred_affine(directions, (1.0, 2.0, 3.0), (4, 5, 6))
            canonical = Canonical.of(affine)
            array = np.arange(120).reshape(6, 5, 4)
            view = canonical.view(array)
            turned = canonical.affine(affine, view.shape)
            assert np.allclose(turned[:3, :3], np.diag(np.diag(turned)[:3])) and (np.diag(turned) > 0).all()
            assert tilt_degrees(turned) == pytest.approx(0, abs=1e-5)
            k, j, i = np.argwhere(array == 77)[0]
            z, y, x = np.argwhere(view == 77)[0]
            assert np.allclose(affine @ [i, j, k, 1], turned @ [x, y, z, 1])


@pytest.mark.parametrize("shape", [(20, 30, 40), (130, 112, 232), (300, 150, 260), (64, 64, 64), (1, 200, 200)])
def test_tiles_cover_all_and_fit(shape):
    plan = tiles.plan(shape, patch=(64, 96, 96), multiple=16, overlap=0.25)
    covered = np.zeros(shape, bool)
    for box in plan.boxes:
        assert all(0 <= part.start < part.stop <= n for part, n in zip(box, shape))
        covered[box] = True
    assert covered.all() and np.prod(plan.size) <= tiles.MOST_VOXELS and all(n % 16 == 0 for n in plan.size)


def test_blending_agreeing_tiles_changes_nothing():
    truth = np.random.default_rng(0).random((2, 40, 50, 60)).astype(np.float32)
    plan = tiles.plan(truth.shape[1:], (16, 16, 16), 16, 0.25)
    forced = tiles.Plan((32, 32, 32), tuple(
        (slice(a, a + 32), slice(b, b + 32), slice(c, c + 32)) for a in (0, 8) for b in (0, 18) for c in (0, 14, 28)
    ))  # fmt: skip
    for used in (plan, forced):
        blend = tiles.Blend(2, truth.shape[1:], used.size)
        for box in used.boxes:
            blend.add(truth[(slice(None), *box)], box)
        assert np.allclose(blend.result(), truth, atol=1e-6)


@pytest.mark.parametrize("organ", [PAROTID, NO_CODE, CORD])
def test_only_the_largest_part_of_an_organ_stays(organ):
    """Of the cord too, where the other one does not lie above or below it."""
    probability = np.zeros((30, 30, 30), np.float32)
    probability[5:15, 5:15, 5:15] = 0.9
    probability[20:24, 20:24, 20:24] = 0.95
    probability[15, 5:15, 5:15] = 0.3  # the edge, which the restored outline needs
    box = (slice(100, 130), slice(0, 30), slice(10, 40))
    component = component_of(organ, probability, box, steps())
    assert np.count_nonzero(component.probability > 0.5) == 1000 and component.probability.max() == np.float32(0.9)
    assert np.isclose(component.probability, 0.3).sum() == 100
    assert [(part.start, part.stop) for part in component.box] == [(104, 116), (4, 16), (14, 26)]


def test_specks_and_nothing_are_not_found():
    probability = np.zeros((10, 10, 10), np.float32)
    box = tuple(slice(0, 10) for _ in range(3))
    assert component_of(CORD, probability, box, steps()) is None
    probability[4, 4, 4:8] = 1
    assert component_of(CORD, probability, box, steps()) is None


def stretch(
    low: int, high: int, at: tuple[float, float] = (0, 0), towards: tuple[float, float] = (0, 0), radius: float = 6.5
) -> np.ndarray:
    """A piece of a cord, bool [z, y, x] of 2 mm in a 400 x 160 x 160 mm trunk: from height low to high (mm), where it
    begins and ends aside of the middle, (x, y) mm."""
    z, y, x = (np.indices((200, 80, 80)).T * 2.0 - [0, 80, 80]).T
    share = np.clip((z - low) / (high - low), 0, 1)
    centre_x, centre_y = (a + (b - a) * share for a, b in zip(at, towards))
    return (z >= low) & (z < high) & ((x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2)


def cord(mask: np.ndarray, organ: Organ = CORD) -> np.ndarray:
    return parts_of_organ(mask, organ, steps(2.0))


TRUNK = stretch(0, 200)
NECK = {
    "straight above": stretch(260, 320),
    "bent forward": stretch(260, 320, (4, -30), (4, -50)),
    "bent backward, as far as a long gap allows": stretch(310, 360, (8, 55), (8, 60)),
    "hardly apart": stretch(208, 250, (0, 6), (0, 0)),
    "two more": stretch(220, 250) | stretch(290, 330, (0, -20), (0, -30)),
}
STRAY = {
    "an arm's": stretch(100, 180, (70, 0), (70, 0)),
    "an arm's, higher up": stretch(260, 320, (70, 0), (70, 0)),
    "a rib's": stretch(230, 260, (34, 10), (34, 10)),
    "in front of the spine": stretch(208, 250, (0, -40), (0, -40)),
    "beside the cord": stretch(150, 230, (20, 0), (20, 0)),
    "thin": stretch(230, 330, radius=2.5),
    "far too thick": stretch(230, 250, radius=18),
    "a speck": stretch(230, 232),
}


@pytest.mark.parametrize("neck", NECK.values(), ids=NECK)
def test_a_cord_in_several_parts_is_kept_whole(neck):
    """The part in a long scan's trunk is larger than the one in the neck above an implant,
    and no more the cord than that."""
    assert np.array_equal(cord(TRUNK | neck), TRUNK | neck)
    assert np.array_equal(cord((TRUNK | neck)[::-1]), (TRUNK | neck)[::-1])
    assert np.array_equal(cord(TRUNK | neck, PAROTID), TRUNK) and np.array_equal(cord(TRUNK | neck, NO_CODE), TRUNK)


@pytest.mark.parametrize("stray", STRAY.values(), ids=STRAY)
def test_what_is_no_part_of_the_cord_goes(stray):
    assert np.array_equal(cord(TRUNK | stray), TRUNK)
    above = np.roll(NECK["bent forward"], 25, axis=0)  # the gap is 110 mm now, and what is stray may lie in it
    assert np.array_equal(cord(TRUNK | above | stray), TRUNK | above)


def test_above_and_below_are_the_patients_also_in_a_turned_image():
    """The image's axes stand 40 degrees askew: along its own, the neck lies far in front of the trunk."""
    angle = np.radians(40)
    turned = np.array([[0, -np.sin(angle), np.cos(angle)], [0, np.cos(angle), np.sin(angle)], [1, 0, 0]]) * 2.0
    z, y, x = np.indices((120, 120, 20))
    points = np.stack([z, y, x], axis=-1) @ turned
    around = np.hypot(points[..., 0] - 20, points[..., 1] - 20) < 6.5
    heights = points[..., 2] - points[around][:, 2].min()
    parts = around & ((heights < 60) | (heights > 120))
    assert np.array_equal(parts_of_organ(parts, CORD, turned), parts)
    assert not np.array_equal(parts_of_organ(parts, CORD, steps(2.0)), parts)


def test_of_what_a_cut_leaves_an_organs_own_parts_stay_unless_they_are_specks():
    organ = np.zeros((20, 20, 20), bool)
    organ[2:10, 4:8, 4:8] = True
    seen = organ.copy()
    seen[4:6] = False
    left = parts_of_organ(seen, PAROTID, steps())
    assert np.array_equal(np.argwhere(left), np.argwhere(organ[6:]) + (6, 0, 0))
    assert parts_of_organ(seen, PAROTID, steps(1.0)) is None
    assert parts_of_organ(organ & ~organ, PAROTID, steps()) is None
    assert np.array_equal(cord(stretch(0, 300) & ~stretch(100, 140)), stretch(0, 300) & ~stretch(100, 140))


def test_an_organ_too_small_to_be_one_is_found_only_where_the_scan_ends():
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[2:4, 4:8, 4:8] = 1  # 0.32 ml
    inside, below = (slice(40, 50), slice(0, 10), slice(0, 10)), (slice(0, 8), slice(0, 10), slice(0, 10))
    shape = (100, 100, 100)
    assert is_speck(mask, inside, shape, 0.01) and not is_speck(mask, inside, shape, 0.04)
    assert not is_speck(mask[2:], below, shape, 0.01) and is_speck(mask[1:9], below, shape, 0.01)
    assert not is_speck(mask[:4], (slice(96, 100), *inside[1:]), shape, 0.01)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, main.MOST_THREADS),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, main.MOST_THREADS),
        ({}, main.MOST_THREADS),
    ],
)
def test_threads_follow_the_containers_quota(files, expected, tmp_path):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert main._quota(tmp_path) == expected


def test_a_stop_that_a_library_turns_into_another_error_is_a_stop(monkeypatch, capsys):
    """The signal may arrive inside an import or a reader that wraps whatever it catches."""

    def wrapping(arguments):
        try:
            signal.raise_signal(signal.SIGTERM)
        except Exception as error:
            raise ImportError("a library failed") from error

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    monkeypatch.setattr(main, "_run", wrapping)
    try:
        assert main.main([]) == 143
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "stopped from outside" in capsys.readouterr().out
