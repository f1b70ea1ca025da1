"""dataset.json's labels: what each channel of the network's output means."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Refused


@dataclass(frozen=True)
class Heads:
    """names: label or region -> channel of the output, without the background. outputs: the channels there are.

    regions: each channel is a structure of its own, which may overlap others (threshold), instead of classes that
    exclude each other (argmax), where channel 0 is the background.
    """

    names: dict[str, int]
    outputs: int
    regions: bool


def read_heads(dataset: dict) -> Heads:
    """Raises Refused."""
    labels = dataset.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise Refused("dataset.json has no labels: take the file that nnU-Net wrote.")
    if all(isinstance(value, str) for value in labels.values()):
        raise Refused("dataset.json names its labels as nnU-Net v1 did, by their numbers: v1 can't be imported.")
    values = {name: _values(name, value) for name, value in labels.items() if name != "ignore"}
    if values.get("background") != [0]:
        raise Refused("dataset.json doesn't give the background the label 0, as nnU-Net v2 does.")
    named = {name: numbers for name, numbers in values.items() if numbers != [0]}
    if not named:
        raise Refused("dataset.json names the background alone: the network draws nothing.")
    if any(len(numbers) > 1 for numbers in named.values()):
        return Heads({name: channel for channel, name in enumerate(named)}, len(named), regions=True)
    numbers = [numbers[0] for numbers in named.values()]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        raise Refused(
            f"dataset.json's labels are {sorted(numbers)}: nnU-Net needs 1, 2, 3 and so on, each for one label."
        )
    return Heads({name: channel for name, (channel,) in named.items()}, len(named) + 1, regions=False)


def _values(name: str, value: object) -> list[int]:
    """A label's number, or those that a region is made of; sorted, each once."""
    numbers = value if isinstance(value, list) else [value]
    if not numbers or not all(isinstance(number, int) and not isinstance(number, bool) for number in numbers):
        raise Refused(f"dataset.json gives {name!r} the label {value!r}: whole numbers are needed.")
    return sorted({*numbers})
