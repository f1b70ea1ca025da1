"""bfloat16 where it is fast."""

from __future__ import annotations

import torch

EMULATED = ("DEFAULT", "AVX2")
"""x86 processors, as PyTorch names what they can do, whose bfloat16 is emulated, and slower than float32."""


def autocast(device: str) -> torch.autocast:
    """Mixed precision for a network on `device`; on a CPU that only emulates bfloat16 none."""
    kind = torch.device(device).type
    fast = kind != "cpu" or torch.backends.cpu.get_cpu_capability() not in EMULATED
    return torch.autocast(kind, torch.bfloat16, enabled=fast)
