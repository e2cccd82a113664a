"""The order of training images: a pure function of (seed, epoch). Nothing is remembered between calls."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


def keyed_seed(*parts: int | str) -> int:
    """A stable 63-bit seed from integers and texts; the same on every machine and Python."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def epoch_order(
    buckets: Sequence[tuple[int, int]], repeats: Sequence[int], *, batch_size: int, seed: int, epoch: int
) -> tuple[tuple[int, ...], ...]:
    """Batches of item indices for one epoch.

    Each item appears `repeats` times, shuffled within its bucket; batches never mix buckets, a bucket's last batch
    may be smaller, and the batches of all buckets are shuffled together.
    """
    generator = np.random.Generator(np.random.PCG64(keyed_seed(seed, "order", epoch)))
    members: dict[tuple[int, int], list[int]] = {}
    for index, (bucket, count) in enumerate(zip(buckets, repeats, strict=True)):
        members.setdefault(bucket, []).extend([index] * count)
    batches: list[tuple[int, ...]] = []
    for bucket in sorted(members):
        shuffled = [members[bucket][i] for i in generator.permutation(len(members[bucket]))]
        batches += [tuple(shuffled[i : i + batch_size]) for i in range(0, len(shuffled), batch_size)]
    return tuple(batches[i] for i in generator.permutation(len(batches)))
