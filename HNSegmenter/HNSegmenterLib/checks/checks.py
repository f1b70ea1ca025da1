"""Checks after every segmentation: is each organ where, and as large, as organs are?

Each finding is one sentence for the clinician. The ranges come from expert contours of adults (ranges.json); a sentence
says "look here", its absence says nothing about the contour's quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import SimpleITK as sitk

from ..result import NOT_IN_MODEL, Organ
from . import ranges
from .kinds import is_measured, is_outer, is_solid, shown, side_of_name
from .patient_position import turned
from .ranges import is_plausible, organ_range, pair_range
from .shapes import AXES, CORD, CRUMB_SHARE, Shape, measured, patient_points
from .sides import wrong_side
from .tissue import Body, air_share

LOOSE_SHARE = 0.05  # generic bounds, for organs without measured ranges
AIR_SHARE = 0.1
OUTSIDE_SHARE = 0.1
READABLE = {
    "SpinalCord": "Spinal cord",
    "Parotid_L": "Left parotid",
    "Parotid_R": "Right parotid",
    "Eye_L": "Left eye",
    "Eye_R": "Right eye",
}
OF_THE_HEAD = [name for name in ranges.ORGANS if name != CORD]
LYING = "the patient lies as its Patient Position says"
NO_HEAD = f"No organ of the head was found: check that the scan shows the head, and that {LYING}."
FACES = {"L": ("right", "left"), "P": ("front", "back"), "S": ("lowest", "highest")}
TOWARDS = {"L": ("patient's right", "patient's left"), "P": ("front", "back"), "S": ("feet", "head")}
ALONG = {"L": "from left to right", "P": "from front to back", "S": "from head to foot"}
Findings = dict[str, list[str]]


def run_checks(ct_image: sitk.Image, labelmaps: Mapping[str, sitk.Image], organs: list[Organ]) -> Findings:
    """Organ name -> sentences (an empty list where nothing is odd);
    "" -> sentences on the whole scan, the gravest first.

    ct_image: int16 HU, any direction; labelmaps: binary uint8 on the CT's grid, key TG-263 name. Organs that the model
    does not have are left out. Organs without measured ranges (another model's) get the generic checks only.
    """
    sought = [organ for organ in organs if organ.status != NOT_IN_MODEL]
    shapes = measured(labelmaps, sought)
    findings: Findings = {organ.name: [] for organ in sought}
    findings[""] = []
    if sought and not shapes:
        place = shown(findings.keys() - {""})
        findings[""].append(f"No organ was found: check that the scan is a CT of {place}, and that {LYING}.")
        return findings
    body = Body(ct_image)
    if not body.found:
        findings[""].append("The scan holds no body, all of it is air: check that its values are in Hounsfield units.")
    head = [organ.name for organ in sought if organ.name in OF_THE_HEAD]
    of_the_head = len(head) > 1  # a model of other places says nothing about how a head lies, or that there is none
    sentence = turned(ct_image, shapes, body) if of_the_head else None
    if sentence:
        findings[""].append(sentence)
    elif of_the_head and shapes.keys() <= {CORD}:
        findings[""].append(NO_HEAD)
    # In a patient who lies otherwise, where an organ lies and should lie is said by that sentence.
    placed = {} if sentence else shapes
    swapped = wrong_side(sought, placed, body)
    for organ in sought:
        shape = shapes.get(organ.name)
        if shape is None:
            findings[organ.name].append(not_found(body, organ.name, placed))
            continue
        if organ.name in swapped:
            findings[organ.name].append(f"{readable(organ.name)} {swapped[organ.name]}")
        findings[organ.name] += own_checks(ct_image, body, shape)
    sound = {name: shape for name, shape in placed.items() if name not in swapped}
    for name, sentence in position_checks(sound) + pair_checks(sound):
        findings[name].append(sentence)
    return findings


def readable(name: str) -> str:
    return READABLE.get(name, name)


def in_sentence(name: str) -> str:
    return readable(name).lower() if is_measured(name) else name


def own_checks(ct: sitk.Image, body: Body, shape: Shape) -> list[str]:
    """What can be said of one organ by itself."""
    checks = (touching(shape), pieces(shape), gaps(ct, shape), air(ct, shape), outside(body, shape), size(shape))
    return [sentence for sentences in checks for sentence in sentences]


def cut_faces(shape: Shape) -> set[str]:
    """Sides at which the organ may be cut; the cord always goes on below, and the skin with the scan."""
    return set() if is_outer(shape.name) else set(shape.faces) - ({"S-"} if shape.name == CORD else set())


def touching(shape: Shape) -> list[str]:
    sentences = []
    for face in sorted(cut_faces(shape)):
        side = FACES[face[0]][face[1] == "+"]
        where = f"the {side} slice" if face[0] == "S" else f"the {side} edge of the scan"
        sentences.append(f"{readable(shape.name)} touches {where}: the scan may be cut there.")
    return sentences


def pieces(shape: Shape) -> list[str]:
    several = f"{readable(shape.name)} is in {len(shape.pieces_ml)} separate pieces"
    if not is_measured(shape.name):
        return _pieces_of_any(shape, several)
    limit = (organ_range(shape.name, "loose_share") or {"high": LOOSE_SHARE})["high"]
    if shape.loose_ml > limit * shape.volume_ml and (shape.name == CORD or not shape.empty_slices):
        return [f"{several}, {shape.loose_ml:.1f} ml of it loose: remove what does not belong to it."]
    if shape.own_pieces > 1 and not shape.empty_slices:
        return [f"{several}, one above the other: join them."]
    return []


def _pieces_of_any(shape: Shape, several: str) -> list[str]:
    """Some organs are two (Lungs) or many: large parts are odd only where the name says left or right."""
    most = np.inf if side_of_name(shape.name) else CRUMB_SHARE * shape.volume_ml
    beside_ml = sum(ml for ml in shape.pieces_ml[1:] if ml < most)
    if beside_ml <= LOOSE_SHARE * shape.volume_ml or shape.empty_slices:
        return []
    return [f"{several}, {beside_ml:.1f} ml of it beside the largest: check whether they belong to it."]


def gaps(ct: sitk.Image, shape: Shape) -> list[str]:
    if not shape.empty_slices:
        return []
    kji = np.array([[k, shape.box[1].start, shape.box[2].start] for k in shape.empty_slices])
    heights = patient_points(ct, kji)[:, 2]
    count = len(shape.empty_slices)
    where = (
        f"at z = {heights[0]:.1f} mm" if count == 1 else f"between z = {heights.min():.1f} and {heights.max():.1f} mm"
    )
    advice = "fill the gap" if is_measured(shape.name) else "check whether it goes on there"
    return [
        (
            f"{readable(shape.name)} is interrupted, without a contour on {count} slice{'s' * (count > 1)} "
            f"{where}: {advice}."
        )
    ]


def air(ct: sitk.Image, shape: Shape) -> list[str]:
    """Of organs that are flesh throughout; others (lungs, larynx, bowel) may hold air."""
    if not is_solid(shape.name):
        return []
    share = air_share(ct, shape)
    if share <= (organ_range(shape.name, "air_share") or {"high": AIR_SHARE})["high"]:
        return []
    return [f"{share:.0%} of {in_sentence(shape.name)} is air: check its outline."]


def outside(body: Body, shape: Shape) -> list[str]:
    """To organs that are flesh, what is open to nose and mouth is outside the body; to others it is not."""
    share = body.outside_share(shape) if body.found else 0.0
    if share > OUTSIDE_SHARE and not is_solid(shape.name):
        share = body.outside_share(shape, cavities=True)
    if share <= OUTSIDE_SHARE:
        return []
    return [
        (
            f"{share:.0%} of {in_sentence(shape.name)} lies outside the body, in "
            "the air, the couch or the mask: correct it."
        )
    ]


def size(shape: Shape) -> list[str]:
    """Volume, cross-section and extent; of a cut organ only what is too large."""
    cut = bool(cut_faces(shape))
    figures = [
        ("has {value:.1f} ml", "ml", shape.volume_ml, organ_range(shape.name, "volume_ml")),
        (
            "has {value:.0f} mm2 of mean cross-section",
            "mm2",
            shape.cross_section_mm2,
            organ_range(shape.name, "cross_section_mm2"),
        ),
    ]
    for axis, extent in zip(AXES, shape.extent, strict=True):
        text = "measures {value:.1f} mm " + ALONG[axis]
        figures.append((text, "mm", float(extent), organ_range(shape.name, "extent_mm", axis)))
    for text, unit, value, bounds in figures:
        if bounds is not None and not is_plausible(value, bounds) and not (cut and value < bounds["low"]):
            said = text.format(value=value)
            digits = 0 if unit == "mm2" else 1
            usual = f"{bounds['low']:.{digits}f} to {bounds['high']:.{digits}f} {unit}"
            advice = (
                "check whether it is complete" if value < bounds["low"] else "check whether it stops where it should"
            )
            return [f"{readable(shape.name)} {said}, plausible is {usual}: {advice}."]
    return []


def position_checks(shapes: dict[str, Shape]) -> list[tuple[str, str]]:
    """(organ, sentence) for organs out of place relative to the others.

    Every pair of whole organs is compared; the organ in most implausible pairs is the one out of place, then the next.
    """
    whole = [name for name in ranges.ORGANS if name in shapes and not cut_faces(shapes[name])]
    odd = {pair: offset for pair in combinations(whole, 2) if (offset := misplaced(shapes, *pair))}
    sentences = []
    while odd:
        counts = {name: sum(name in pair for pair in odd) for name in whole}
        culprit = max(whole, key=lambda name: (counts[name], sum(abs(o[1]) for pair, o in odd.items() if name in pair)))
        axis, excess = max(
            (signed(pair, offset, culprit) for pair, offset in odd.items() if culprit in pair), key=lambda o: abs(o[1])
        )
        partners = [name for pair in odd if culprit in pair for name in pair if name != culprit]
        relative = in_sentence(partners[0]) if len(partners) == 1 else "the other organs"
        sentences.append(
            (
                culprit,
                (
                    f"{readable(culprit)} lies {max(1, round(abs(excess)))} mm beyond the plausible towards the "
                    f"{TOWARDS[axis][excess > 0]}, compared with {relative}: check its place."
                ),
            )
        )
        odd = {pair: offset for pair, offset in odd.items() if culprit not in pair}
    return sentences


def misplaced(shapes: dict[str, Shape], first: str, second: str) -> tuple[str, float] | None:
    """(axis, mm beyond the plausible offset of second from first) of the worst axis, None if all are plausible."""
    worst = None
    for axis, offset in zip(AXES, shapes[second].landmark - shapes[first].landmark, strict=True):
        bounds = pair_range(first, second, "offset_mm", axis)
        if bounds is None or is_plausible(offset, bounds):
            continue
        excess = float(offset - bounds["high"] if offset > bounds["high"] else offset - bounds["low"])
        if worst is None or abs(excess) > abs(worst[1]):
            worst = axis, excess
    return worst


def signed(pair: tuple[str, str], offset: tuple[str, float], culprit: str) -> tuple[str, float]:
    """The offset seen from the culprit."""
    return offset[0], offset[1] if pair[1] == culprit else -offset[1]


def pair_checks(shapes: dict[str, Shape]) -> list[tuple[str, str]]:
    """Left against right volume, and the passage from brainstem to cord."""
    sentences = []
    for left, right in ranges.LEFT_RIGHT:
        if left not in shapes or right not in shapes or cut_faces(shapes[left]) or cut_faces(shapes[right]):
            continue
        volumes = {name: shapes[name].volume_ml for name in (left, right)}
        if not is_plausible(volumes[left] / volumes[right], pair_range(left, right, "volume_ratio")):
            small, large = sorted(volumes, key=volumes.__getitem__)
            sentences.append(
                (
                    small,
                    (
                        f"{readable(small)} has {volumes[small]:.1f} ml, {in_sentence(large)} {volumes[large]:.1f} ml: "
                        "check whether one is incomplete."
                    ),
                )
            )
    if "Brainstem" in shapes and "SpinalCord" in shapes:
        gap = float(shapes["Brainstem"].low[2] - shapes["SpinalCord"].high[2])
        bounds = ranges.load()["brainstem_cord_gap_mm"]
        if gap > bounds["high"]:
            sentences.append(
                ("SpinalCord", f"Between brainstem and spinal cord {gap:.0f} mm have no contour: close the gap.")
            )
        elif gap < bounds["low"]:
            sentences.append(
                (
                    "SpinalCord",
                    f"Spinal cord and brainstem overlap by {-gap:.0f} mm from head to foot: check their border.",
                )
            )
    return sentences


def not_found(body: Body, name: str, shapes: dict[str, Shape]) -> str:
    """Whether the scan reaches the place where the organ should be, as the organs found tell."""
    heights = []
    for first, second in combinations(ranges.ORGANS, 2):
        other = second if first == name else first
        if name in (first, second) and other in shapes and not cut_faces(shapes[other]):
            offset = pair_range(first, second, "offset_mm", "S")
            if offset:
                heights.append(shapes[other].landmark[2] + offset["median"] * (1 if second == name else -1))
    if not heights:
        return f"{readable(name)} was not found."
    height = float(np.median(heights))
    low, high = body.ends_s() if body.found else (-np.inf, np.inf)
    for beyond, end in ((low - height, "below"), (height - high, "above")):
        if beyond > 0:
            return f"{readable(name)} was not found: it is expected about {beyond:.0f} mm {end} the end of the scan."
    return f"{readable(name)} was not found, although the scan should reach it: contour it by hand."
