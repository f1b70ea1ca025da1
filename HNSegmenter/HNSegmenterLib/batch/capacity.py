"""How many series are contoured side by side: as many as memory and cores allow."""

from __future__ import annotations

import os
from pathlib import Path

# Peak of a job in bytes: Python, its libraries and the network; and of each voxel. python -m tools.measure_batch speed
# gave, with one at a time, 861 MB for 9 million voxels, 984 MB for 36 and 1520 MB for 89 million.
JOB_BYTES = 800_000_000
VOXEL_BYTES = 9
KEPT_BYTES = 1_000_000_000  # left to everybody else


def jobs_that_fit(voxels: int) -> int:
    """At least one. voxels: of the largest series. Where the system does not tell its memory, cores alone count."""
    memory = available_memory()
    by_memory = cores() if memory is None else (memory - KEPT_BYTES) // (JOB_BYTES + VOXEL_BYTES * voxels)
    return max(1, min(cores(), by_memory))


def cores() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory(system: Path = Path("/")) -> int | None:
    """Bytes that programs may still take (Linux, its control groups minded; elsewhere half of all); None if unknown."""
    try:
        lines = (system / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return _half_of_all()
    return min([free, *_left_in_group(system / "sys/fs/cgroup")])


def _left_in_group(folder: Path) -> list[int]:
    """In the container's control group (versions 2 and 1), where that has a limit. Files that are read again count as
    used there, though the system gives them up; they are left out."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            words = ((folder / used).parent / "memory.stat").read_text().split()
            given_up = int(words[words.index(cache) + 1]) if cache in words else 0
        except (OSError, ValueError):  # no such group, or "max"
            continue
        return [most - now + given_up]
    return []


def _half_of_all() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return None
