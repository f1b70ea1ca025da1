"""Whether a scan is one of the head and neck, lying as it says: told by what was found in it, never by its tags."""

from __future__ import annotations

from ...checks import LOOKS, is_measured
from ...result import NOT_IN_MODEL, Organ

TELLING = ("Eye_L", "Eye_R", "Parotid_L", "Parotid_R", "Brainstem")
UNLIKELY = "Unlikely head and neck: "


def unlikely(organs: list[Organ], warnings: list[str]) -> str:
    """The reason to hold a result: the whole scan looks turned, or its head organs are all missing or odd;
    "" where neither is so.

    organs, warnings: of the result, after the checks. A model that has none of TELLING cannot tell. Nor is there
    anything to tell where organs were found that the shipped model does not have: another model's scan may show
    another place.
    """
    if turned := next((warning for warning in warnings if warning.startswith(LOOKS)), ""):
        return turned
    asked = [organ for organ in organs if organ.name in TELLING and organ.status != NOT_IN_MODEL]
    of_elsewhere = any(organ.found and not is_measured(organ.name) for organ in organs)
    if not asked or of_elsewhere or any(organ.found and not organ.checks for organ in asked):
        return ""
    missing = [organ.name for organ in asked if not organ.found]
    odd = [organ.name for organ in asked if organ.found]
    told = [f"not found: {', '.join(missing)}"] if missing else []
    told += [f"found, but not plausible: {', '.join(odd)}"] if odd else []
    return f"{UNLIKELY}{'; '.join(told)}."
