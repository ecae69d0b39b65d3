"""Sequences in rows, shared beginnings computed once, give what one plain pass each gives."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from codefavor.judges.scorer import SequenceScorer
from codefavor.judges.token_rows import pack_alone, pack_shared

from .conftest import make_model, tiny_config

torch = pytest.importorskip("torch")

# Blocks of 64 queries: sequences must be longer than two of them.
LONGEST = 200


def random_sequences(seed: int, n: int = 12, longest: int = LONGEST) -> list[list[int]]:
    """Sequences that branch off one another anywhere, with a duplicate and a prefix among them."""
    rng = random.Random(seed)
    found: list[list[int]] = []
    for _ in range(n):
        stem = rng.choice(found) if found and rng.random() < 0.8 else []
        stem = stem[: rng.randint(0, len(stem))]
        length = rng.randint(len(stem) + 1, longest + 1)
        found.append([*stem, *(rng.randrange(20) for _ in range(length - len(stem)))])
    whole = rng.choice(found)
    found += [whole, whole[: max(1, len(whole) // 2)]]
    rng.shuffle(found)
    return found


@pytest.mark.parametrize("budget", [1, 60, 10_000])
@pytest.mark.parametrize("seed", range(20))
def test_rows_hold_every_sequence_and_no_token_twice(seed, budget):
    sequences = random_sequences(seed, longest=30)
    rows = pack_shared(sequences, budget)
    found = {}
    tokens: list[int] = []
    for row in rows:
        # What the row before handed on, then the row's own.
        tokens = [*tokens, *row.tokens]
        assert len(tokens) == row.n_carried + len(row)
        for index, member in enumerate(row.members):
            found[member] = [tokens[node] for node in row.nodes(index)]
        assert len(row) <= budget or len(row.runs) == 1
        tokens = [tokens[node] for start, stop in row.handed_on for node in range(start, stop)]
    assert found == dict(enumerate(sequences))
    distinct = {tuple(one[:end]) for one in sequences for end in range(1, len(one) + 1)}
    assert sum(map(len, rows)) == len(distinct)


def test_padded_rows_keep_to_the_budget():
    sequences = [[1] * length for length in (9, 2, 5, 5, 30, 1)]
    rows = pack_alone(sequences, 20)
    assert [[len(sequences[member]) for member in row.members] for row in rows] == [
        [30],
        [9, 5],
        [5, 2, 1],
    ]


def load(folder: Path, kind: str = "AutoModelForCausalLM") -> Any:
    import transformers

    return getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()


def plain(model: Any, sequence: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([sequence])).logits[0]


@pytest.mark.parametrize(
    "kind", ["LlamaConfig", "Qwen2Config", "Qwen3Config", "GemmaConfig", "Phi3Config"]
)
def test_scores_equal_one_plain_pass_each(kind, tmp_path):
    model = load(make_model(tmp_path, tiny_config(kind)))
    implementation = model.config._attn_implementation
    rng = random.Random(1)
    for budget in (1, 150, 100_000):
        scorer = SequenceScorer(model, token_budget=budget)
        assert scorer.is_fast
        sequences = [one for one in random_sequences(budget) if len(one) > 1]
        expected = [plain(model, one) for one in sequences]
        for logits, found in zip(expected, scorer.last_logits(sequences, [3, 5]), strict=True):
            assert found == pytest.approx(logits[-1, [3, 5]].tolist(), abs=1e-4)
        starts = [rng.randrange(1, len(one)) for one in sequences]
        items = [(one[:at], one[at:]) for one, at in zip(sequences, starts, strict=True)]
        scores = scorer.completion_logprobs(items)
        for one, at, logits, score in zip(sequences, starts, expected, scores, strict=True):
            logprobs = logits.double().log_softmax(-1)
            total = sum(logprobs[i - 1, one[i]].item() for i in range(at, len(one)))
            assert score.n_tokens == len(one) - at
            assert score.total == pytest.approx(total, abs=1e-4 * score.n_tokens)
    assert model.config._attn_implementation == implementation


@pytest.mark.parametrize("kind", ["LlamaConfig", "Qwen2Config"])
def test_rewards_equal_one_plain_pass_each(kind, tmp_path):
    head = "AutoModelForSequenceClassification"
    model = load(make_model(tmp_path, tiny_config(kind, num_labels=1), head), head)
    scorer = SequenceScorer(model, token_budget=150)
    assert scorer.is_fast
    # Token 0 pads, and the plain way would not read the reward there.
    sequences = [[token + 3 for token in one] for one in random_sequences(7)]
    expected = [plain(model, one).tolist() for one in sequences]
    for reward, found in zip(expected, scorer.last_logits(sequences, None), strict=True):
        assert found == pytest.approx(reward, abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("MistralConfig", {"sliding_window": 16}), ("BloomConfig", {}), ("CohereConfig", {})],
    ids=["window", "positions by attention bias", "scaled logits"],
)
def test_what_rows_cannot_do_is_scored_plainly(kind, options, tmp_path):
    model = load(make_model(tmp_path, tiny_config(kind, **options)))
    scorer = SequenceScorer(model, token_budget=150)
    assert not scorer.is_fast
    sequences = random_sequences(3, longest=60)
    for one, found in zip(sequences, scorer.last_logits(sequences, [3, 5]), strict=True):
        assert found == pytest.approx(plain(model, one)[-1, [3, 5]].tolist(), abs=1e-4)


def test_attention_with_a_soft_cap_is_not_computed_by_rows(tmp_path, caplog):
    full = {"layer_types": ["full_attention"] * 2}
    model = load(make_model(tmp_path, tiny_config("Gemma2Config", **full)))
    model.config.sliding_window = None
    assert not SequenceScorer(model).is_fast
    assert "softcap" in caplog.text


def test_scores_of_a_model_in_float64_are_not_rounded_to_float32(tmp_path):
    model = load(make_model(tmp_path, tiny_config())).double()
    sequences = [one for one in random_sequences(3) if len(one) > 1]
    scores = SequenceScorer(model).completion_logprobs([(one[:1], one[1:]) for one in sequences])
    for one, score in zip(sequences, scores, strict=True):
        logprobs = plain(model, one).log_softmax(-1)
        total = sum(logprobs[i - 1, one[i]].item() for i in range(1, len(one)))
        assert score.total == pytest.approx(total, abs=1e-9 * score.n_tokens)
