"""Which features are made, and again."""

from trainer_core.training.features import batches_with_gaps


def test_a_batch_with_a_gap_is_redone_whole_and_batches_never_shift() -> None:
    done = {"a", "b", "c", "e"}
    assert batches_with_gaps("abcdefg", 3, done.__contains__) == [["d", "e", "f"], ["g"]]


def test_one_at_a_time_only_the_missing_is_made() -> None:
    assert batches_with_gaps("abc", 1, {"b"}.__contains__) == [["a"], ["c"]]
