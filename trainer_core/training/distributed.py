"""Several processes as one run: who is who, what they agree on, and gradients that add up.

Batches of a step are dealt out in turn, index = accumulation step x world size + rank, so that N processes see what
one process with N times the accumulation sees. Gradients are summed, not averaged: each batch's loss is already
divided by the images of the whole step.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, check_cuda_p2p_ib_support
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer_core.contracts.errors import UserError, is_gpu_memory
from trainer_core.jobs.ranks import is_launched

# Others wait while the main process draws samples or writes to a slow disk; the default of NCCL is 10 minutes.
PATIENCE = timedelta(hours=12)

T = TypeVar("T")


class World:
    """The processes of this run; one alone is a world of size 1, for which every method is a plain no-op."""

    def __init__(self, *, mixed_precision: str, cpu: bool) -> None:
        """Waits for all processes. Raises UserError `processes_unavailable` where they do not find each other."""
        if not cpu:
            _limit_nccl(os.environ)
        try:
            self.accelerator = Accelerator(
                mixed_precision=mixed_precision,
                cpu=cpu,
                kwargs_handlers=[
                    InitProcessGroupKwargs(timeout=PATIENCE),
                    DistributedDataParallelKwargs(find_unused_parameters=False),
                ],
            )
            # NCCL connects with the first exchange, and fails there.
            self.accelerator.wait_for_everyone()
        except (OSError, RuntimeError, ValueError) as error:
            if is_gpu_memory(error) or not is_launched(os.environ):
                raise
            raise _not_joined(error) from error
        # Accumulation is ours: a setting of accelerate's must not divide the loss a second time.
        self.accelerator.gradient_accumulation_steps = 1

    @property
    def rank(self) -> int:
        return self.accelerator.process_index

    @property
    def size(self) -> int:
        return self.accelerator.num_processes

    @property
    def main(self) -> bool:
        """True in the one process that writes the run folder."""
        return self.accelerator.is_main_process

    @property
    def share(self) -> tuple[int, int]:
        """(place, count) of this process among those of its machine, which share its disk."""
        if self.size == 1:
            return 0, 1
        places = self.gather(self.accelerator.local_process_index)
        # Machines hold their processes in a row: a machine ends where the local index starts at 0 again.
        starts = [rank for rank, place in enumerate(places) if place == 0] + [self.size]
        begin = max(start for start in starts if start <= self.rank)
        return places[self.rank], min(start for start in starts if start > self.rank) - begin

    def on_main(self, work: Callable[[], T]) -> T:
        """Run `work` in the main process; every process gets its result, or raises its UserError."""
        if self.size == 1:
            return work()
        answer: list[object] = [None, None]
        if self.main:
            try:
                answer[0] = work()
            except UserError as error:
                answer[1] = error
        dist.broadcast_object_list(answer, src=0)
        if isinstance(answer[1], UserError):
            raise answer[1]
        return answer[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T]:
        """Every process's `value`, in the order of ranks, in every process. Any picklable object."""
        if self.size == 1:
            return [value]
        found: list[T] = [value] * self.size
        dist.all_gather_object(found, value)
        return found

    def gather_row(self, row: Tensor) -> list[Tensor]:
        """Every process's `row` [n], in the order of ranks; they stay on the device, and nobody waits for it."""
        if self.size == 1:
            return [row]
        rows = [torch.empty_like(row) for _ in range(self.size)]
        dist.all_gather(rows, row)
        return rows

    def any(self, values: Iterable[bool]) -> list[bool]:
        """For each place, whether any process says True there; equally many everywhere."""
        wanted = list(values)
        if self.size == 1:
            return wanted
        rows = self.gather_row(torch.tensor(wanted, dtype=torch.float64, device=self.accelerator.device))
        return [bool(said) for said in torch.stack(rows).any(dim=0).tolist()]

    @contextmanager
    def local_main_first(self) -> Iterator[None]:
        """The first process of each machine goes first; the others then find on disk what it wrote."""
        with self.accelerator.local_main_process_first():
            yield

    def wrap(
        self, model: nn.Module, trained: Collection[str], optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Model and optimizer as accelerate prepares them; only the parameters named `trained` are kept in step."""
        # DDP would otherwise send the whole frozen base through the network at the start.
        frozen = [name for name, _ in [*model.named_parameters(), *model.named_buffers()] if name not in trained]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, frozen)
        wrapped, prepared = self.accelerator.prepare(model, optimizer)
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.register_comm_hook(None, _add_up)
        return wrapped, prepared

    def release(self) -> None:
        """Let go of what `wrap` was given, so that its memory is free for another model."""
        self.accelerator.free_memory()

    def leave(self, failure: type[BaseException] | None, *rest: object) -> None:
        """Leave the process group together, as the end of an `ExitStack`; after a failure nobody waits for anybody."""
        if failure is None:
            self.accelerator.wait_for_everyone()
            self.accelerator.end_training()


def _limit_nccl(environment: MutableMapping[str, str]) -> None:
    """Where accelerate would refuse to begin (RTX 40 with a driver of before 2024), do without what fails there."""
    names = ("NCCL_P2P_DISABLE", "NCCL_IB_DISABLE")
    if any(name not in environment for name in names) and not check_cuda_p2p_ib_support():
        for name in names:
            environment.setdefault(name, "1")


def _not_joined(error: Exception) -> UserError:
    return UserError(
        "processes_unavailable",
        f"The processes of this run cannot be joined: {' '.join(str(error).split())[:500]}",
        [
            "Set gpus to a single GPU: one process needs no others.",
            "With accelerate launch or torchrun choose a free port (--main_process_port, --master_port).",
            "NCCL_DEBUG=INFO makes NCCL say what it tries.",
        ],
    )


def _add_up(state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Sum of all processes' gradients. DDP's own mean divides by the world size, which rounds unless it is 2, 4, 8."""
    work = dist.all_reduce(bucket.buffer(), op=dist.ReduceOp.SUM, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])
