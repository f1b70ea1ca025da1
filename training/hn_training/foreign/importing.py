"""An nnU-Net becomes a model folder: network.onnx, organs.json, model.json and SHA256SUMS."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ..packing.model_folder import unusable, write_json, write_sums
from . import graph
from .about import Decided, Options, description, tell, tell_organs
from .errors import Refused
from .naming import organs, read_map
from .nnunet import checkpoints
from .nnunet.heads import read_heads
from .nnunet.networks import Mean
from .nnunet.plans import read_json, read_plan
from .nnunet.source import Chosen, opened
from .nnunet.trainers import check_trainer


def import_nnunet(source: Path, out: Path, options: Options, say: Callable[[str], None] = print) -> Path:
    """Writes the model folder `out`; `say` tells what was found and decided.

    Raises Refused, and leaves nothing behind then. Reads a checkpoint's tensors only, and runs nothing of it.
    """
    given = read_map(options.organs) if options.organs else {}
    if reason := unusable(options.name, options.version):
        raise Refused(reason)
    if out.exists() or out.is_symlink():
        raise Refused(f"{out} exists already: choose another --out, or remove it.")
    with staged(out) as work:
        stage = work / "model"
        stage.mkdir()
        with opened(source, work, options.configuration, options.folds, options.checkpoint) as chosen:
            plans, dataset = (read_json(chosen.folder / name) for name in ("plans.json", "dataset.json"))
            # what is small is judged first, so that a label without a name is asked for at once
            plan = read_plan(plans, dataset, chosen.configuration) if chosen.configuration else None
            heads = read_heads(dataset)
            table, left_out = organs(heads.names, given, options.labels_of)
            read = [checkpoints.read(chosen.file(fold), called(chosen, fold)) for fold in chosen.folds]
            configuration = same(chosen, read, options.configuration)
            plan = plan or read_plan(plans, dataset, configuration)
            check_trainer(read[0].trainer, options.trainer)
            networks = [
                checkpoints.network(checkpoint, called(chosen, fold), plan.recipe, heads.outputs)
                for fold, checkpoint in zip(chosen.folds, read)
            ]
            decided = Decided(plan, heads, chosen, tuple(read))
            about = description(decided, options)
            tell(say, decided, about, options)
            graph.check_size(networks)
            difference = graph.write(Mean(networks).eval(), plan.recipe.multiple, stage / "network.onnx")
            say(f"ONNX Runtime and PyTorch agree: they differ by {difference:.0e} of the largest logit.")
        write_json(stage / "organs.json", table)
        write_json(stage / "model.json", about)
        write_sums(stage)
        stage.rename(out)
    tell_organs(say, heads, table, left_out)
    return out


@contextmanager
def staged(out: Path):
    """A hidden folder beside `out`, gone at the end whatever happens. Raises Refused where the disk is full or shut."""
    made = [folder for folder in out.parents if not folder.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-", ignore_cleanup_errors=True) as work:
            yield Path(work)
    except Refused:
        raise
    except MemoryError:
        raise Refused("The computer's memory is not enough for this network: import fewer folds (--folds 0).") from None
    except Exception as error:
        if full(error):
            raise Refused(
                f"No space is left on the disk of {out.parent}: free some, or choose another --out."
            ) from None
        if isinstance(error, OSError):
            raise Refused(f"{out} cannot be written: {error.strerror or error}.") from None
        raise
    finally:
        if not out.exists():
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


def full(error: BaseException) -> bool:
    """Whether the disk is full, also as libraries in C++ say it."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def called(chosen: Chosen, fold: str) -> str:
    return f"fold_{fold}/{chosen.checkpoint}"


def same(chosen: Chosen, read: list[checkpoints.Checkpoint], wanted: str | None) -> str:
    """The configuration of all folds. Raises Refused where folds are of different trainings, or of another one."""
    first = read[0]
    for fold, checkpoint in zip(chosen.folds, read):
        for what in ("configuration", "trainer", "mirror_axes"):
            if getattr(checkpoint, what) != getattr(first, what):
                raise Refused(
                    f"Folds {chosen.folds[0]} and {fold} don't belong together: their {what.replace('_', ' ')} is "
                    f"{getattr(first, what)} and {getattr(checkpoint, what)}. Choose with --folds."
                )
    if chosen.configuration and chosen.configuration != first.configuration:
        raise Refused(
            f"The folder is named {chosen.configuration}, but its weights are of {first.configuration}: take the "
            "folder as nnU-Net wrote it."
        )
    if wanted and wanted != first.configuration:
        raise Refused(f"The weights are of the configuration {first.configuration}, not {wanted}: choose that.")
    return first.configuration
