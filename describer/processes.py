"""The processes that `accelerate launch` (or torchrun) has started to share one job.

processes = Processes.current()                  # of one, where nothing was launched
mine = batches[processes.index :: processes.count]
parts = processes.gather(part)                   # on the first: every process's part; on the others: None
whole = processes.share(join(parts) if parts else None)
"""

import atexit
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

LAUNCHED = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"Where torchrun and the kinds of MPI tell the number of processes."

Part = TypeVar("Part")


@dataclass(frozen=True)
class Processes:
    """This process's place among those that do the same job."""

    index: int
    "0 for the first"
    count: int
    "how many there are"

    @classmethod
    def current(cls) -> "Processes":
        """What the launcher's environment says; joins the group where that has not been done."""
        if any(int(os.environ.get(name, "1")) > 1 for name in LAUNCHED) and not dist.is_initialized():
            from accelerate import PartialState

            # without a GPU it would not form a group by itself
            PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=1))  # while the first one describes
            atexit.register(_leave)
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls(0, 1)

    def gather(self, part: Part) -> list[Part] | None:
        """Every process's part, in order, on the first process; None on the others."""
        if self.count == 1:
            return [part]
        parts: list[Part] | None = [part] * self.count if self.index == 0 else None
        dist.gather_object(part, parts)
        return parts

    def share(self, whole: Part) -> Part:
        """The first process's object, on all of them."""
        if self.count == 1:
            return whole
        box = [whole]
        dist.broadcast_object_list(box)
        return box[0]


def _leave() -> None:
    """Leaves the group that `current` joined; a process that ends inside one may be aborted by its threads."""
    if dist.is_initialized():
        dist.destroy_process_group()
