"""Sampling from a transformers model in batches, each row with its own random generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codefavor.backends.base import Request

if TYPE_CHECKING:
    import torch

# A nucleus of top_p is looked for among this many likeliest tokens; a wider one is sorted fully.
_NUCLEUS_CANDIDATES = 256
# Copying the cache to drop finished rows costs about as much as a few steps with all of them.
_SHRINK_BELOW = 0.75


@dataclass
class Draft:
    """One answer to a request in the making; `prompt` is the index of its prompt."""

    prompt: int
    request: Request
    generator: torch.Generator
    tokens: list[int] = field(default_factory=list)
    logprobs: list[tuple[float, list[tuple[int, float]]]] = field(default_factory=list)
    finish_reason: str = ""


class Generator:
    """Generates for many drafts together on one model and tokenizer.

    Prompts are read once, however many drafts share them, and padded on the left; drafts
    that finish leave the batch. What a draft draws depends on its own generator and its
    model probabilities only, so up to rounding errors of the matrix products (about 1e-6) it
    does not depend on which drafts it was batched with.
    """

    def __init__(self, model: Any, tokenizer: Any, end_tokens: Sequence[int]) -> None:
        import torch

        self._torch = torch
        self._model = model
        self._tokenizer = tokenizer
        self._end_tokens = frozenset(end_tokens)
        self._device = model.device

    def run(self, prompts: Sequence[Sequence[int]], drafts: Sequence[Draft]) -> None:
        """Fill the drafts; `draft.prompt` is the index of its prompt, given as token ids."""
        with self._torch.inference_mode():
            logits, cache, mask = self._read(prompts)
            rows = [draft.prompt for draft in drafts]
            logits, mask = logits[rows], mask[rows]
            cache.batch_select_indices(self._indices(rows))
            positions = mask.sum(dim=1)
            active = list(drafts)
            while True:
                tokens = self._draw(active, logits)
                going = [i for i, draft in enumerate(active) if not draft.finish_reason]
                if not going:
                    return
                if len(going) < _SHRINK_BELOW * len(active) or len(going) <= 4 < len(active):
                    kept = self._indices(going)
                    cache.batch_select_indices(kept)
                    mask, positions, tokens = mask[kept], positions[kept], tokens[kept]
                    active = [active[i] for i in going]
                mask = self._torch.cat([mask, mask.new_ones((len(active), 1))], dim=1)
                logits = self._forward(tokens[:, None], positions[:, None], mask, cache)
                positions = positions + 1

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
        from transformers import DynamicCache

        torch, width = self._torch, max(len(prompt) for prompt in prompts)
        ids = torch.zeros((len(prompts), width), dtype=torch.long)
        mask = torch.zeros((len(prompts), width), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        cache = DynamicCache(config=self._model.config)
        return self._forward(ids, positions, mask, cache), cache, mask

    def _forward(self, ids: Any, positions: Any, mask: Any, cache: Any) -> Any:
        output = self._model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1].float()

    def _indices(self, rows: Sequence[int]) -> Any:
        return self._torch.tensor(rows, dtype=self._torch.long, device=self._device)

    def _draw(self, drafts: Sequence[Draft], logits: Any) -> Any:
        """One more token for each draft that is not finished; returns one id per row."""
        tokens = logits.argmax(dim=-1).tolist()
        for row, draft in enumerate(drafts):
            if not draft.finish_reason:
                if draft.request.sampling.temperature > 0:
                    tokens[row] = self._sample(draft, logits[row])
                self._add(draft, tokens[row], logits[row])
        return self._indices(tokens)

    def _sample(self, draft: Draft, logits: Any) -> int:
        """A token by inversion of the cumulative probabilities, at a number of its generator."""
        torch, sampling = self._torch, draft.request.sampling
        scaled = logits / sampling.temperature
        at = torch.rand((), generator=draft.generator, dtype=torch.float64).to(self._device)
        if sampling.top_p == 1:
            return self._invert(scaled.softmax(dim=-1), at)
        # Few rows need more than the likeliest: sorting the vocabulary costs as much as the model.
        for n_likeliest in (min(_NUCLEUS_CANDIDATES, len(scaled)), len(scaled)):
            values, tokens = scaled.topk(n_likeliest)
            probabilities = (values - scaled.logsumexp(dim=-1)).exp()
            if probabilities.sum() >= sampling.top_p:
                break
        # The token that crosses top_p belongs to the nucleus.
        before = probabilities.cumsum(dim=-1) - probabilities
        return int(tokens[self._invert(probabilities * (before < sampling.top_p), at)])

    def _invert(self, weights: Any, at: Any) -> int:
        cumulative = weights.double().cumsum(dim=-1)
        found = self._torch.searchsorted(cumulative, at * cumulative[-1], right=True)
        return min(int(found), len(weights) - 1)

    def _add(self, draft: Draft, token: int, logits: Any) -> None:
        sampling = draft.request.sampling
        if sampling.logprobs is not None:
            draft.logprobs.append(_logprobs(logits, token, sampling.logprobs))
        draft.tokens.append(token)
        if token in self._end_tokens or self._hits_stop(draft):
            draft.finish_reason = "stop"
        elif len(draft.tokens) >= sampling.max_tokens:
            draft.finish_reason = "length"

    def _hits_stop(self, draft: Draft) -> bool:
        stops = draft.request.stop
        if not stops:
            return False
        # A stop string ends within the newest token; as many tokens as it has bytes hold it.
        longest = max(len(stop.encode()) for stop in stops) + 1
        tail = self._tokenizer.decode(draft.tokens[-longest - 4 :])
        return any(stop in tail for stop in stops)


def _logprobs(logits: Any, token: int, n_top: int) -> tuple[float, list[tuple[int, float]]]:
    logs = logits.log_softmax(dim=-1)
    if n_top == 0:
        return logs[token].item(), []
    values, tokens = logs.topk(n_top)
    return logs[token].item(), list(zip(tokens.tolist(), values.tolist(), strict=True))
