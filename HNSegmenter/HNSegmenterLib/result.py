"""result.json: what the network found, as the container writes it and the client completes it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import RuntimeFault

FOUND, NOT_FOUND, NOT_IN_MODEL = "found", "not found", "not in this model"
CONTRACT = 1


@dataclass
class Organ:
    """One organ of the model.

    code and laterality: {"value", "scheme", "meaning"} (DICOM coded concept) or None; color: RGB 0..255;
    file: the labelmap's name in the results folder, None if not in the model; checks: sentences of the quality checks.
    """

    name: str
    label: int
    color: tuple[int, int, int]
    code: dict | None = None
    laterality: dict | None = None
    status: str = FOUND
    voxels: int = 0
    volume_ml: float = 0.0
    file: str | None = None
    checks: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        return self.status == FOUND


@dataclass
class Result:
    """The contents of result.json."""

    model: dict
    organs: list[Organ]
    runtime: dict = field(default_factory=dict)
    input: dict = field(default_factory=dict)
    timings_s: dict = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    contract: int = CONTRACT

    @classmethod
    def from_dict(cls, values: dict) -> Result:
        """Raises RuntimeFault if a field is missing or of another contract."""
        if values.get("contract") != CONTRACT:
            raise RuntimeFault(
                f"result.json follows container contract {values.get('contract')!r}, this client knows {CONTRACT}: "
                "use an image and a client of the same release."
            )
        try:
            known = Organ.__dataclass_fields__
            organs = [
                Organ(**{k: tuple(v) if k == "color" else v for k, v in organ.items() if k in known})
                for organ in values["organs"]
            ]
            return cls(organs=organs, **{k: values[k] for k in ("model", "runtime", "input", "timings_s", "warnings")})
        except (KeyError, TypeError, AttributeError) as error:
            raise RuntimeFault(f"result.json is incomplete ({error}): the image does not keep its contract.") from error

    @classmethod
    def read(cls, path: Path) -> Result:
        """Raises RuntimeFault if the file is missing or unreadable."""
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise RuntimeFault("The run left no readable result.json: its results cannot be trusted.") from error

    def to_dict(self) -> dict:
        return {
            "contract": self.contract,
            "model": self.model,
            "runtime": self.runtime,
            "input": self.input,
            "organs": [asdict(organ) for organ in self.organs],
            "timings_s": self.timings_s,
            "warnings": self.warnings,
        }

    def write(self, path: Path) -> None:
        write_json(path, self.to_dict())


def write_json(path: Path, values: dict) -> None:
    """Write beside, then rename: a reader never sees half a file."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)
