"""Which features are made, and again."""

from trainer_core.training.features import fixed_batches, with_gaps


def test_a_batch_with_a_gap_is_redone_whole_and_batches_never_shift() -> None:
    done = {"a", "b", "c", "e"}
    assert with_gaps(fixed_batches("abcdefg", 3), done.__contains__) == [["d", "e", "f"], ["g"]]


def test_one_at_a_time_only_the_missing_is_made() -> None:
    assert with_gaps(fixed_batches("abc", 1), {"b"}.__contains__) == [["a"], ["c"]]
