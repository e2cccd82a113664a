"""How much of a training step is not arithmetic: python -m bench.overhead [--steps N]; prints one JSON line.

A model of about 35 million parameters (width 384, 8 layers, LoRA rank 32), batch 2, 1,024 image tokens, captions of 160
and 60 tokens, fp32, on the CPU: the trainer's own step under PyTorch's profiler. Ratios only, which still depend on how
fast a machine's products are beside its memory; one thread, as two compete with whatever else runs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.step import build_trainer
from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.shapes import Dimensions
from trainer_core.training.loop import Trainer

DIMS = Dimensions(dim=384, n_layers=8, n_heads=4, n_kv_heads=2)
CAPTIONS = (160, 60)
# What does the arithmetic: matrix products of every kind, attention kernels.
KERNELS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "attention")


def measure(steps: int = 3) -> dict[str, float]:
    """Shares of the step, each a ratio.

    Returns:
        total_per_kernel: all operators' time over that of `KERNELS`.
        python_share: part of the wall time that is outside forward, backward and optimizer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = _trainer()
        trainer.step(0)
        python = _python_share(trainer, range(1, 1 + steps))
        ratio = _operators(trainer, range(1 + steps, 1 + 2 * steps))
        trainer.close()
    finally:
        torch.set_num_threads(threads)
    return {"total_per_kernel": ratio, "python_share": python}


def _trainer() -> Trainer:
    config = TrainConfig(
        base_model_path="none", train_data_dir="none", resolution=512, train_batch_size=2, lora_rank=32,
        lora_alpha=32.0, lora_dropout=0.0, mixed_precision="no", gradient_checkpointing=False, num_epochs=100,
        optimizer_type="AdamW", caption_dropout_rate=0.0,
    )  # fmt: skip
    return build_trainer(config, DIMS, torch.device("cpu"), CAPTIONS)


def _operators(trainer: Trainer, steps: range) -> float:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for step in steps:
            trainer.step(step)
    times = {row.key: row.self_cpu_time_total for row in profiler.key_averages()}
    return sum(times.values()) / sum(t for name, t in times.items() if any(kernel in name for kernel in KERNELS))


def _python_share(trainer: Trainer, steps: range) -> float:
    """By wrapping the three calls in clocks."""
    inside = [0.0]

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = call(*args, **kwargs)
            inside[0] += time.perf_counter() - start
            return result

        return clocked

    with (
        _replaced(trainer.model, "forward", timed),
        _replaced(trainer.accelerator, "backward", timed),
        _replaced(trainer.optimizer, "step", timed),
    ):
        start = time.perf_counter()
        for step in steps:
            trainer.step(step)
        total = time.perf_counter() - start
    return 1 - inside[0] / total


@contextmanager
def _replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Iterator[None]:
    setattr(owner, name, wrap(getattr(owner, name)))
    yield
    delattr(owner, name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="steps for each of the two figures")
    print(json.dumps(measure(parser.parse_args(arguments).steps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
