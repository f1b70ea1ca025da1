"""result.json: what the network found, as the container writes it and the client completes it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .errors import RuntimeFault

FOUND, NOT_FOUND, NOT_IN_MODEL = "found", "not found", "not in this model"
CONTRACT = 1


@dataclass
class Organ:
    """One organ of the model.

    code and laterality: {"value", "scheme", "meaning"} (DICOM coded concept) or None; color: RGB 0..255;
    file: the labelmap's name in the results folder, None if not in the model; checks: sentences of the quality checks;
    model: name, version and digest of the model that drew it, None where result.json does not say (the container's).
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
    model: dict | None = None

    @property
    def found(self) -> bool:
        return self.status == FOUND

    @property
    def labelmap(self) -> str:
        """Of an organ found: file, never a path out of the results folder.

        Raises TypeError where result.json names none."""
        if not isinstance(self.file, str):
            raise TypeError(f"{self.name} has no labelmap")
        return Path(self.file).name


@dataclass
class Result:
    """The contents of result.json. model: the first of models, which are all that drew; each name, version, digest."""

    model: dict
    organs: list[Organ]
    runtime: dict = field(default_factory=dict)
    input: dict = field(default_factory=dict)
    timings_s: dict = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    models: list[dict] = field(default_factory=list)
    contract: int = CONTRACT

    def __post_init__(self):
        """A container knows of one model, and says so once."""
        self.models = self.models or [self.model]
        for organ in self.organs:
            if self.model and not organ.model:
                organ.model = {key: self.model.get(key) for key in ("name", "version", "digest")}

    @classmethod
    def from_dict(cls, values: dict) -> Result:
        """Raises RuntimeFault if a field is missing or of another contract."""
        said = values.get("contract") if isinstance(values, dict) else None
        if said != CONTRACT:
            raise RuntimeFault(
                f"result.json follows container contract {said!r}, this client knows {CONTRACT}: "
                "use an image and a client of the same release."
            )
        try:
            result = cls(
                organs=[_organ(organ) for organ in values["organs"]],
                warnings=[str(warning) for warning in values["warnings"]],
                model=dict(values["model"]),
                runtime=dict(values["runtime"]),
                input=dict(values["input"]),
                timings_s=dict(values["timings_s"]),
                models=[dict(model) for model in values.get("models") or ()],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RuntimeFault(
                f"result.json is incomplete or wrong ({error}): the image does not keep its contract."
            ) from error
        for field_name in ("name", "file"):
            named = [value for organ in result.organs if (value := getattr(organ, field_name)) is not None]
            if len(set(named)) < len(named):
                raise RuntimeFault(
                    f"result.json has one {field_name} for two organs: the image does not keep its contract."
                )
        return result

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
            "models": self.models,
            "runtime": self.runtime,
            "input": self.input,
            "organs": [asdict(organ) for organ in self.organs],
            "timings_s": self.timings_s,
            "warnings": self.warnings,
        }

    def write(self, path: Path) -> None:
        write_json(path, self.to_dict())


def model_name(model: dict | None) -> str:
    """Such as "hn-densevnet 0.1.0"; empty without a model."""
    return " ".join(str(model[key]) for key in ("name", "version") if model.get(key)) if model else ""


def _organ(values: dict) -> Organ:
    """Raises KeyError, TypeError or ValueError if it is no organ of the contract."""
    organ = Organ(**{key: value for key, value in values.items() if key in Organ.__dataclass_fields__})
    color = tuple(int(part) for part in organ.color)
    if len(color) != 3 or not all(0 <= part <= 255 for part in color):
        raise ValueError(f"the colour of {organ.name}")
    organ.color = color
    if organ.status not in (FOUND, NOT_FOUND, NOT_IN_MODEL):
        raise ValueError(f"the status of {organ.name}")
    if organ.model is not None and not isinstance(organ.model, dict):
        raise ValueError(f"the model of {organ.name}")
    if not organ.name or organ.name != Path(organ.name).name:
        raise ValueError("an organ's name")
    return organ


def write_json(path: Path, values: dict) -> None:
    """Write beside, then rename: a reader never sees half a file."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)
