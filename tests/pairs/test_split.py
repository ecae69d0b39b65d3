import pytest

from codefavor.errors import ConfigError
from codefavor.pairs.split import SPLITS, split_of


def test_split_keeps_its_shares_roughly():
    n = 20_000
    counts = dict.fromkeys(SPLITS, 0)
    for i in range(n):
        counts[split_of(f"problem-{i}")] += 1
    for name, share in SPLITS.items():
        # Five standard deviations of a binomial share.
        assert abs(counts[name] / n - share) < 5 * (share * (1 - share) / n) ** 0.5


def test_another_salt_gives_another_split():
    ids = [f"problem-{i}" for i in range(200)]
    assert [split_of(i) for i in ids] != [split_of(i, salt="x") for i in ids]


def test_split_is_stable_across_versions():
    # A changed hash would move held-out problems into training between two releases.
    assert [split_of(f"problem-{i}") for i in range(6)] == EXPECTED


# Worked out with sha256 by a shell: the first 8 bytes of sha256("\0problem-<i>") as a fraction.
EXPECTED = ["train", "test", "test", "train", "test", "train"]


def test_shares_must_sum_to_one():
    with pytest.raises(ConfigError, match="sum to 1"):
        split_of("p", {"train": 0.5, "test": 0.4})
