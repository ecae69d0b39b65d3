"""Preference losses as pure functions of sequence log-probabilities (torch only)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch.nn import functional

DpopForm = Literal["paper", "additive"]
DPOP_FORMS: tuple[DpopForm, ...] = ("paper", "additive")


class PairLogps(NamedTuple):
    """Summed log-probabilities of the completions of one batch of pairs, each of shape [pairs]."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor


class PairLosses(NamedTuple):
    """The loss of every pair, and what of it is the penalty, each of shape [pairs]."""

    losses: torch.Tensor
    penalties: torch.Tensor


def completion_logps(
    logits: torch.Tensor, input_ids: torch.Tensor, completion_mask: torch.Tensor
) -> torch.Tensor:
    """The summed log-probability of every row's completion tokens, of shape [rows].

    In float32, or float64 where the logits are: half precision would lose whole nats in a sum.

    `logits` is [rows, tokens, vocabulary]; the logits at position t predict token t + 1, so a
    completion's first token is predicted by the last token of its prompt. Raises ValueError for
    a row without any completion token: it would be trained on nothing.
    """
    mask = completion_mask[:, 1:].to(torch.bool)
    if not bool(mask.any(dim=1).all()):
        raise ValueError("a row has no completion token inside the window (prompt too long?)")
    dtype = torch.promote_types(logits.dtype, torch.float32)
    predictions = logits[:, :-1].to(dtype)
    labels = input_ids[:, 1:].unsqueeze(-1)
    chosen_logits = predictions.gather(-1, labels).squeeze(-1)
    per_token = chosen_logits - predictions.logsumexp(dim=-1)
    return per_token.masked_fill(~mask, 0.0).sum(dim=1)


def dpop_loss(
    logps: PairLogps, *, beta: float, penalty_weight: float, form: DpopForm = "paper"
) -> PairLosses:
    """DPO with a penalty wherever the chosen answer became less likely than it was.

    Source: Pal et al. 2024 (arXiv 2402.13228), eq. 3: the penalty lambda * max(0, log ref(w) -
    log policy(w)) is subtracted inside the sigmoid, and so is scaled by beta ("paper"). The
    "additive" form adds it outside instead, unscaled, where a large lambda outweighs the rest.
    Both are DPO for lambda 0.
    """
    chosen_ratio = logps.chosen - logps.reference_chosen
    rejected_ratio = logps.rejected - logps.reference_rejected
    penalties = penalty_weight * functional.relu(-chosen_ratio)
    margin = chosen_ratio - rejected_ratio
    if form == "paper":
        return PairLosses(-functional.logsigmoid(beta * (margin - penalties)), penalties)
    if form == "additive":
        return PairLosses(-functional.logsigmoid(beta * margin) + penalties, penalties)
    raise ValueError(f"unknown DPOP form {form!r}; known: {', '.join(DPOP_FORMS)}")
