"""A region of interest: who drew it, what it is, and what a planning system is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..result import Organ, model_name
from .tracing.contours import SliceContour

AUTOMATIC, SEMIAUTOMATIC, MANUAL = "AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"  # ROI Generation Algorithm (3006,0036)
REVIEW = "A clinician must review every contour."
LONGEST_LO = 64  # characters of a value of VR LO, PS3.5 6.2
_TARGETS = ("GTV", "CTV", "PTV")  # TG-263: a target's name begins with its type
_SPARE_COLORS = ((255, 127, 0), (127, 201, 127), (190, 174, 212), (191, 91, 23), (102, 102, 102), (56, 108, 176))


@dataclass
class Roi:
    """name: TG-263 or the clinic's; organ: the model's organ behind it, if any;
    interpreted_type: RT ROI Interpreted Type; generation: ROI Generation Description; model: that drew it, or None."""

    name: str
    organ: Organ | None
    contours: list[SliceContour] = field(default_factory=list)
    algorithm: str = AUTOMATIC
    interpreted_type: str = "ORGAN"
    description: str = REVIEW
    generation: str = ""
    model: dict | None = None
    color: tuple[int, int, int] | None = None

    def display_color(self, index: int) -> tuple[int, int, int]:
        """The organ's fixed colour, else its own, else one of a small palette."""
        if self.organ is not None:
            return self.organ.color
        return self.color or _SPARE_COLORS[index % len(_SPARE_COLORS)]


def interpreted_type(name: str) -> str:
    """RT ROI Interpreted Type (PS3.3 C.8.8.8.1) for an ROI of this TG-263 name."""
    upper = name.upper()
    if upper.startswith(_TARGETS):
        return upper[:3]
    return "EXTERNAL" if upper in ("BODY", "EXTERNAL") else "ORGAN"


def models_of(model: dict | None, organs: Sequence[Organ]) -> list[dict]:
    """All models that drew the organs, each once; `model` is that of organs that do not say."""
    models: list[dict] = []
    for one in [*([model] if model else []), *(organ.model for organ in organs if organ.model)]:
        known = {key: one.get(key) for key in ("name", "version", "digest")}
        if known not in models:
            models.append(known)
    return models


def roi_description(organ: Organ | None, algorithm: str, model: dict | None, limit: int = 1024) -> str:
    """ROI Description (ST): the review sentence, who drew it, and what the checks said. model: that drew it."""
    drawn = {
        AUTOMATIC: f"Drawn by {model_name(model) or 'an automatic method'}.",
        SEMIAUTOMATIC: f"Drawn by {model_name(model) or 'an automatic method'}, then edited by hand.",
        MANUAL: "Drawn by hand.",
    }[algorithm]
    digest = f"Model {_short(model['digest'])}." if model and model.get("digest") and algorithm != MANUAL else ""
    checks = organ.checks if organ is not None else []
    return _cut(" ".join(part for part in (REVIEW, drawn, digest, *checks) if part), limit)


def generation_description(algorithm: str, model: dict | None) -> str:
    """ROI Generation Description (LO, 64 characters): the model that drew it and as much of its digest as fits;
    empty where a hand did."""
    if algorithm == MANUAL or not model_name(model):
        return ""
    edited = ", edited" if algorithm == SEMIAUTOMATIC else ""
    name = model_name(model)[: LONGEST_LO - len(edited)]
    digest = f" ({_short(model['digest'], 12)})" if model and model.get("digest") else ""
    return name + (digest if len(name + digest + edited) <= LONGEST_LO else "") + edited


def set_description(
    models: Sequence[dict], client: str, missing: Sequence[str], remarks: Sequence[str] = (), limit: int = 1024
) -> str:
    """Structure Set Description (ST): the review sentence, remarks on the whole scan, client, models, their digests,
    and a line per organ without an ROI."""
    for length in (None, 12):
        named = [
            ", ".join(filter(None, (model_name(model), _short(model.get("digest") or "", length)))) for model in models
        ]
        drawn = f"Drawn with {client}{_listed(named)}."
        head = [REVIEW, *remarks, drawn, "Research software, not a medical device."]
        text = "\r\n".join([*head, *missing])
        if len(text) <= limit:
            return text
    room = limit - len("\r\n".join(head)) - len("\r\nAnd 999 more organs without a contour.")
    kept: list[str] = []
    for line in missing:
        if len(line) + 2 > room:
            break
        kept.append(line)
        room -= len(line) + 2
    more = [f"And {len(missing) - len(kept)} more organs without a contour."] if len(kept) < len(missing) else []
    return _cut("\r\n".join([*head, *kept, *more]), limit)


def _listed(named: Sequence[str]) -> str:
    """ "" for none; ", model A, sha256:1..."; ", models A, sha256:1...; B, sha256:2..."."""
    if not any(named):
        return ""
    return f", {'model' if len(named) == 1 else 'models'} {'; '.join(named)}"


def _short(digest: str, length: int | None = 12) -> str:
    """sha256:1234567890ab..., enough to tell releases apart; None: the whole."""
    scheme, _, value = digest.rpartition(":")
    return f"{scheme}:{value[:length]}..." if length and len(value) > length else digest


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
