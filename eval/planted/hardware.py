"""What a report tells of the machine that measured.

hardware()                                             # "Xeon …, 2 cores, 1 thread"
"""

import os
import platform
from pathlib import Path

import torch


def hardware() -> str:
    """Processor, cores, and how many threads were used."""
    about, name = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if about.exists():
        lines = [
            line.split(":", 1)[1].strip() for line in about.read_text().splitlines() if line.startswith("model name")
        ]
        name = next(iter(lines), name)
    n_threads = torch.get_num_threads()
    return f"{name}, {os.cpu_count()} cores, {n_threads} thread{'' if n_threads == 1 else 's'}"
