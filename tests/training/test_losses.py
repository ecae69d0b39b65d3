"""DPOP and its log-probabilities against a slow float64 reference written from the paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from codefavor.training.losses import PairLogps, completion_logps, dpop_loss  # noqa: E402

BETA = 0.3


class TinyModel:
    """Next-token logits from the last two tokens: embed[t] * mix + embed[t - 1], times head."""

    def __init__(self, seed: int, vocabulary: int = 11, width: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self.parameters = {
            "embed": rng.normal(size=(vocabulary, width)),
            "head": rng.normal(size=(width, vocabulary)),
        }


def reference_logps(parameters, rows, prompt_lengths, lengths):
    """Sum over completion tokens of log softmax, token by token, in float64."""
    totals = []
    for row, prompt, length in zip(rows, prompt_lengths, lengths, strict=True):
        total = 0.0
        for position in range(prompt, length):
            hidden = 0.7 * parameters["embed"][row[position - 1]]
            if position >= 2:
                hidden = hidden + parameters["embed"][row[position - 2]]
            logits = hidden @ parameters["head"]
            biggest = max(logits)
            normaliser = biggest + math.log(sum(math.exp(value - biggest) for value in logits))
            total += logits[row[position]] - normaliser
        totals.append(total)
    return totals


def reference_loss(policy, reference, batch, weight, form):
    """Mean over pairs, by the formulas of arXiv 2402.13228 (and the additive variant)."""
    rows, prompts, lengths = batch
    ours = reference_logps(policy, rows, prompts, lengths)
    theirs = reference_logps(reference, rows, prompts, lengths)
    n_pairs = len(rows) // 2
    losses = []
    for pair in range(n_pairs):
        win = ours[pair] - theirs[pair]
        lose = ours[pair + n_pairs] - theirs[pair + n_pairs]
        penalty = weight * max(0.0, theirs[pair] - ours[pair])
        inside = win - lose - (penalty if form == "paper" else 0.0)
        loss = math.log1p(math.exp(-BETA * inside))
        losses.append(loss + (penalty if form == "additive" else 0.0))
    return sum(losses) / n_pairs


def tensor_logps(parameters, batch):
    rows, prompts, lengths = batch
    ids = torch.tensor(rows)
    embedded = parameters["embed"][ids]
    before = torch.cat([torch.zeros_like(embedded[:, :1]), embedded[:, :-1]], dim=1)
    logits = (0.7 * embedded + before) @ parameters["head"]
    mask = torch.zeros_like(ids)
    for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True)):
        mask[row, prompt:length] = 1
    return completion_logps(logits, ids, mask)


def tensor_loss(policy, reference, batch, weight, form):
    chosen, rejected = tensor_logps(policy, batch).chunk(2)
    with torch.no_grad():
        ref_chosen, ref_rejected = tensor_logps(reference, batch).chunk(2)
    logps = PairLogps(chosen, rejected, ref_chosen, ref_rejected)
    return dpop_loss(logps, beta=BETA, penalty_weight=weight, form=form).losses.mean()


def random_batch(seed: int, n_pairs: int = 3, width: int = 9):
    """Rows padded to one width, with prompts and completions of different lengths."""
    rng = np.random.default_rng(seed)
    n_rows = 2 * n_pairs
    rows = rng.integers(0, 11, size=(n_rows, width)).tolist()
    prompts = rng.integers(1, 4, size=n_rows).tolist()
    lengths = rng.integers(5, width + 1, size=n_rows).tolist()
    return rows, prompts, lengths


def tensors(model, dtype):
    return {
        name: torch.tensor(value, dtype=dtype, requires_grad=True)
        for name, value in model.parameters.items()
    }


@pytest.mark.parametrize("form", ["paper", "additive"])
@pytest.mark.parametrize("weight", [0.0, 1.0, 50.0])
@pytest.mark.parametrize("seed", range(4))
def test_loss_equals_the_slow_reference(form, weight, seed):
    policy, reference, batch = TinyModel(seed), TinyModel(seed + 100), random_batch(seed)
    expected = reference_loss(policy.parameters, reference.parameters, batch, weight, form)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        loss = tensor_loss(tensors(policy, dtype), tensors(reference, dtype), batch, weight, form)
        assert loss.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("form", ["paper", "additive"])
def test_gradients_equal_central_differences_of_the_reference(form):
    policy, reference, batch = TinyModel(1), TinyModel(2), random_batch(3)
    parameters = tensors(policy, torch.float32)
    tensor_loss(parameters, tensors(reference, torch.float32), batch, 2.0, form).backward()
    step = 1e-6
    for name, values in policy.parameters.items():
        expected = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = {key: value.copy() for key, value in policy.parameters.items()}
                moved[name][index] += sign * step
                sides.append(reference_loss(moved, reference.parameters, batch, 2.0, form))
            expected[index] = (sides[0] - sides[1]) / (2 * step)
        scale = np.abs(expected).max()
        assert np.abs(parameters[name].grad.numpy() - expected).max() < 1e-5 * max(1.0, scale)


def test_only_completion_tokens_count():
    """Uniform logits: every token costs log(vocabulary), so the sum counts the tokens."""
    logits = torch.zeros(2, 6, 11)
    ids = torch.randint(0, 11, (2, 6))
    mask = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1]])
    totals = completion_logps(logits, ids, mask)
    assert totals.tolist() == pytest.approx([-3 * math.log(11), -math.log(11)])


def test_the_first_completion_token_is_predicted_by_the_last_prompt_token():
    """An off-by-one in the mask would read the logits at position 2 or the token at 1."""
    logits = torch.zeros(1, 4, 5)
    logits[0, 1, 3] = 100.0  # position 1 is sure that token 3 comes next
    ids = torch.tensor([[0, 1, 3, 4]])
    mask = torch.tensor([[0, 0, 1, 0]])
    assert completion_logps(logits, ids, mask).item() == pytest.approx(0.0, abs=1e-5)


def test_a_row_without_completion_tokens_is_refused():
    with pytest.raises(ValueError, match="prompt too long"):
        completion_logps(
            torch.zeros(1, 3, 4), torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3)
        )


def test_half_precision_logits_are_summed_in_float32():
    logits = torch.zeros(1, 2000, 7, dtype=torch.bfloat16)
    ids = torch.zeros(1, 2000, dtype=torch.long)
    mask = torch.ones(1, 2000, dtype=torch.long)
    total = completion_logps(logits, ids, mask).item()
    assert total == pytest.approx(-1999 * math.log(7), rel=1e-5)


def test_an_unknown_form_is_refused():
    one = torch.zeros(1)
    with pytest.raises(ValueError, match="paper, additive"):
        dpop_loss(PairLogps(one, one, one, one), beta=0.1, penalty_weight=1.0, form="inside")  # type: ignore[arg-type]
