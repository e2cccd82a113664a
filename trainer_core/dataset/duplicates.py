"""Which pictures of a data set are the same, or nearly."""

from collections.abc import Mapping, Sequence

import numpy as np

from trainer_core.dataset.index_file import Record

MAX_DISTANCE = 6

# Plain surfaces have hardly any bits set (or unset) and would all look alike.
_FEWEST_BITS = 4
# Crops and stretched copies are other training images.
_ASPECT_TOLERANCE = 0.05


def duplicate_groups(records: Mapping[str, Record]) -> tuple[tuple[str, ...], ...]:
    """Groups of two and more pictures with equal bytes, or that look alike: up to 6 of 64 bits differ in the rows and
    in the columns, and the shapes agree to 5 %. Sorted by their first name; damaged pictures belong to none."""
    by_key: dict[str, list[str]] = {}
    for name in sorted(name for name, record in records.items() if record.key):
        by_key.setdefault(records[name].key, []).append(name)
    twins = list(by_key.values())
    # One of each set of equal files stands for all: a thousand copies would make half a million pairs.
    parents = list(range(len(twins)))
    for first, second in _alike_pairs([records[names[0]] for names in twins]):
        parents[_root(parents, second)] = _root(parents, first)
    groups: dict[int, list[str]] = {}
    for place, names in enumerate(twins):
        groups.setdefault(_root(parents, place), []).extend(names)
    return tuple(sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1))


def _alike_pairs(records: Sequence[Record]) -> list[tuple[int, int]]:
    usable = np.array([place for place, record in enumerate(records) if _tells_something(record)], dtype=np.int64)
    rows = np.array([records[place].rows for place in usable], dtype=np.uint64)
    columns = np.array([records[place].columns for place in usable], dtype=np.uint64)
    shape = np.array([records[place].width / records[place].height for place in usable])
    pairs = []
    for place in range(len(usable)):
        # One row of the matrix at a time: all pairs of 5,000 pictures together would need 200 MB.
        later = slice(place + 1, None)
        alike = np.bitwise_count(rows[later] ^ rows[place]) <= MAX_DISTANCE
        if not alike.any():
            continue
        alike &= np.bitwise_count(columns[later] ^ columns[place]) <= MAX_DISTANCE
        alike &= np.abs(shape[later] / shape[place] - 1) <= _ASPECT_TOLERANCE
        pairs += [(int(usable[place]), int(usable[place + 1 + other])) for other in np.flatnonzero(alike)]
    return pairs


def _tells_something(record: Record) -> bool:
    return all(_FEWEST_BITS <= bits.bit_count() <= 64 - _FEWEST_BITS for bits in (record.rows, record.columns))


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place
