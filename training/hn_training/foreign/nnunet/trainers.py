"""Trainers whose networks and predictions are those that the plans describe.

A checkpoint names its trainer, a class that may build another network than the plans say, with weights of the same
shapes (another activation, for instance), and may predict in another way. nnU-Net's own variants that change only how
is trained are known here by the parts of their names; the user vouches for any other.
"""

from __future__ import annotations

import re

from ..errors import Refused

# Of nnU-Net 2.8.1 and of TotalSegmentator 2: length, mirroring, augmentation, loss, optimiser, schedule, sampling.
PARTS = (
    r"\d+epochs?", r"\d+ep", "NoMirroring", "onlyMirror01", "DA5", "DA5[Ss]egord0", "DA5ord0", "DASegOrd0", "DAOrd0",
    "NoDA", "noDummy2DDA", "NoDeepSupervision", "CELoss", "DiceLoss", "DiceCELoss_noSmooth", "DiceCELoss",
    "DiceCELossNoSmooth", r"Topk10Loss", "Topk10LossLS01", "DiceTopK10Loss", "DiceTopK100Loss", "noSmooth",
    r"(?:Vanilla)?Ada[mn](?:\de[n]?\d)?", "CosAnneal", "warmup", r"probabilisticOversampling(?:_\d+)?",
    "MOSAIC_1k_QuarterLR", "SkeletonRecall", r"Benchmark_5epochs(?:_noDataLoading)?",
)  # fmt: skip
LONGEST = 100
KNOWN = re.compile(rf"nnUNetTrainer(?:_?(?:{'|'.join(PARTS)}))*")


def check_trainer(trainer: str, vouched: str | None) -> None:
    """vouched: the trainer's name, if the user says that it changes neither network nor prediction. Raises Refused."""
    if trainer == vouched or (len(trainer) <= LONGEST and KNOWN.fullmatch(trainer)):
        return
    raise Refused(
        f"It was trained with {trainer}, which isn't one of nnU-Net's own trainers known to leave network and "
        f"prediction as the plans say. If you know that it changes neither, say so with --trainer {trainer}."
    )
