"""The nearest text is found without looking at all, and is the nearest of all."""

from __future__ import annotations

import random

import pytest
from rapidfuzz import fuzz

from codefavor.pairs.code_tokens import token_string, word_string
from codefavor.pairs.nearest import NearestTexts


def drawn(rng: random.Random, longest: int) -> str:
    return "".join(rng.choice("abcdefgh é\U0001f40d") for _ in range(rng.randint(0, longest)))


@pytest.mark.parametrize("floor", [0.0, 40.0, 70.0])
@pytest.mark.parametrize("threshold", [50.0, 80.0, 101.0])
def test_the_nearest_and_all_over_the_threshold_are_those_of_a_full_comparison(
    floor: float, threshold: float
) -> None:
    rng = random.Random(int(floor + threshold))
    texts = [drawn(rng, 30) for _ in range(600)]
    index = NearestTexts(texts)
    n_exact = 0
    for _ in range(60):
        query = drawn(rng, 30)
        scores = [fuzz.ratio(query, text) for text in texts]
        best = max(scores)
        found = index.find(query, threshold=threshold, floor=floor)
        if best >= floor:
            assert found.similarity == pytest.approx(best, abs=1e-3)
            assert found.nearest == next(i for i, s in enumerate(scores) if s > best - 1e-3)
            n_exact += 1
        assert found.similarity <= best + 1e-3
        assert [place for place, _ in found.over] == [
            i for i, score in enumerate(scores) if score >= threshold - 1e-4
        ]
    assert n_exact > 0


def test_empty_texts() -> None:
    found = NearestTexts(["abc", "", "x"]).find("", threshold=100.0)
    assert (found.nearest, found.similarity, found.over) == (1, 100.0, [(1, 100.0)])


def test_tokens_forget_comments_and_layout_and_names_only_where_asked() -> None:
    one = "def tide(u, v):\n    # why\n    return u.low + max(u, v)  # end\n"
    two = "def  tide( u,v ):\n  return u.low+max(u,v)"
    other = "def flood(a, b):\n    return a.low + max(a, b)\n"
    assert token_string(one) == token_string(two)
    assert len(token_string(one)) == 19
    assert token_string(one) != token_string(other)
    assert token_string(one, names=False) == token_string(other, names=False)
    high = other.replace(".low", ".high")
    assert token_string(other, names=False) != token_string(high, names=False)
    minimum = other.replace("max", "min")
    assert token_string(other, names=False) != token_string(minimum, names=False)
    assert token_string("a // b\nc /* d */ e", "c") == token_string("a\nc e", "c")
    assert token_string("a // b") != token_string("a")  # division in Python
    assert token_string("x = '# no'") != token_string("x = ''")
    assert word_string("Sort, the LIST!") == word_string("sort the list")
