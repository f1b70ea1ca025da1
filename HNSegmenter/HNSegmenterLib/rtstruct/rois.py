"""A region of interest: who drew it, what it is, and what a planning system is told about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..result import Organ
from .tracing.contours import SliceContour

AUTOMATIC, SEMIAUTOMATIC, MANUAL = "AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"  # ROI Generation Algorithm (3006,0036)
REVIEW = "A clinician must review every contour."
_TARGETS = ("GTV", "CTV", "PTV")  # TG-263: a target's name begins with its type
_SPARE_COLORS = ((255, 127, 0), (127, 201, 127), (190, 174, 212), (191, 91, 23), (102, 102, 102), (56, 108, 176))


@dataclass
class Roi:
    """name: TG-263 or the clinic's; organ: the model's organ behind it, if any;
    interpreted_type: RT ROI Interpreted Type."""

    name: str
    organ: Organ | None
    contours: list[SliceContour] = field(default_factory=list)
    algorithm: str = AUTOMATIC
    interpreted_type: str = "ORGAN"
    description: str = REVIEW
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


def model_name(model: dict | None) -> str:
    """Such as "hn-densevnet 0.1.0"; empty without a model."""
    return " ".join(str(model[key]) for key in ("name", "version") if model.get(key)) if model else ""


def roi_description(organ: Organ | None, algorithm: str, model: dict | None, limit: int = 1024) -> str:
    """ROI Description (ST): the review sentence, who drew it, and what the checks said."""
    drawn = {
        AUTOMATIC: f"Drawn by {model_name(model) or 'an automatic method'}.",
        SEMIAUTOMATIC: f"Drawn by {model_name(model) or 'an automatic method'}, then edited by hand.",
        MANUAL: "Drawn by hand.",
    }[algorithm]
    digest = f"Model {_short(model['digest'])}." if model and model.get("digest") and algorithm != MANUAL else ""
    checks = organ.checks if organ is not None else []
    return _cut(" ".join(part for part in (REVIEW, drawn, digest, *checks) if part), limit)


def set_description(
    model: dict | None, client: str, missing: Sequence[str], remarks: Sequence[str] = (), limit: int = 1024
) -> str:
    """Structure Set Description (ST): the review sentence, remarks on the whole scan, client, model, digest, and a line
    per organ without an ROI."""
    digest = (model or {}).get("digest") or ""
    for shown in (digest, _short(digest)):
        drawn = (
            f"Drawn with {client}"
            + (f", model {model_name(model)}" if model else "")
            + (f", {shown}" if shown else "")
            + "."
        )
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
    return "\r\n".join([*head, *kept, f"And {len(missing) - len(kept)} more organs without a contour."])


def _short(digest: str) -> str:
    """sha256:1234567890ab..., enough to tell releases apart."""
    scheme, _, value = digest.rpartition(":")
    return f"{scheme}:{value[:12]}..." if len(value) > 12 else digest


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
