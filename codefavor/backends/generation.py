"""Sampling from a transformers model in batches, each row with its own random generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# A nucleus of top_p is looked for among this many likeliest tokens; a wider one is sorted fully.
_NUCLEUS_CANDIDATES = 256
# Copying the cache to drop finished rows costs about as much as a few steps with all of them.
_SHRINK_BELOW = 0.75


@dataclass
class Draft:
    """One answer in the making."""

    prompt: int
    generator: torch.Generator | None
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    n_logprobs: int | None = None
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
        live = [row for row, draft in enumerate(drafts) if not draft.finish_reason]
        drawing = [row for row in live if drafts[row].temperature > 0]
        for is_nucleus, draw in ((True, self._draw_nucleus), (False, self._draw_any)):
            rows = [row for row in drawing if (drafts[row].top_p < 1) == is_nucleus]
            if rows:
                for row, token in zip(
                    rows, draw([drafts[r] for r in rows], logits[rows]), strict=True
                ):
                    tokens[row] = token
        for row in live:
            self._add(drafts[row], tokens[row], logits[row])
        return self._indices(tokens)

    def _draw_any(self, drafts: Sequence[Draft], logits: Any) -> list[int]:
        scaled = logits / self._column(draft.temperature for draft in drafts)
        return self._invert(scaled.softmax(dim=-1), self._uniform(drafts))

    def _draw_nucleus(self, drafts: Sequence[Draft], logits: Any) -> list[int]:
        scaled = logits / self._column(draft.temperature for draft in drafts)
        top_p, uniform = self._column(draft.top_p for draft in drafts), self._uniform(drafts)
        drawn, is_whole = self._draw_among(
            scaled, top_p, uniform, n_likeliest=min(_NUCLEUS_CANDIDATES, scaled.shape[-1])
        )
        wide = [row for row, whole in enumerate(is_whole) if not whole]
        if wide:
            # Few rows ever need it: sorting the whole vocabulary costs as much as the model.
            again, _ = self._draw_among(
                scaled[wide], top_p[wide], uniform[wide], n_likeliest=scaled.shape[-1]
            )
            for row, token in zip(wide, again, strict=True):
                drawn[row] = token
        return drawn

    def _draw_among(
        self, scaled: Any, top_p: Any, uniform: Any, *, n_likeliest: int
    ) -> tuple[list[int], list[bool]]:
        """A token per row out of its nucleus, and whether the likeliest tokens hold all of it."""
        values, tokens = scaled.topk(n_likeliest)
        probabilities = (values - scaled.logsumexp(dim=-1, keepdim=True)).exp()
        before = probabilities.cumsum(dim=-1) - probabilities
        # The token that crosses top_p belongs to the nucleus.
        chosen = self._invert(probabilities * (before < top_p), uniform)
        is_whole = (probabilities.sum(dim=-1) >= top_p[:, 0]).tolist()
        return [int(tokens[row, index]) for row, index in enumerate(chosen)], is_whole

    def _column(self, values: Iterable[float]) -> Any:
        return self._torch.tensor(list(values), device=self._device)[:, None]

    def _uniform(self, drafts: Sequence[Draft]) -> Any:
        """One number in [0, 1) for each draft, by its own generator."""
        torch = self._torch
        numbers = [torch.rand((), generator=d.generator, dtype=torch.float64) for d in drafts]
        return torch.stack(numbers).to(self._device)[:, None]

    def _invert(self, weights: Any, uniform: Any) -> list[int]:
        """An index per row by inversion of its cumulative weights."""
        cumulative = weights.double().cumsum(dim=-1)
        found = self._torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        return [int(index) for index in found[:, 0].clamp(max=weights.shape[-1] - 1).tolist()]

    def _add(self, draft: Draft, token: int, logits: Any) -> None:
        if draft.n_logprobs is not None:
            draft.logprobs.append(_logprobs(logits, token, draft.n_logprobs))
        draft.tokens.append(token)
        if token in self._end_tokens or self._hits_stop(draft):
            draft.finish_reason = "stop"
        elif len(draft.tokens) >= draft.max_tokens:
            draft.finish_reason = "length"

    def _hits_stop(self, draft: Draft) -> bool:
        if not draft.stop:
            return False
        # A stop string ends within the newest token; as many tokens as it has bytes hold it.
        longest = max(len(stop.encode()) for stop in draft.stop) + 1
        tail = self._tokenizer.decode(draft.tokens[-longest - 4 :])
        return any(stop in tail for stop in draft.stop)


def _logprobs(logits: Any, token: int, n_top: int) -> tuple[float, list[tuple[int, float]]]:
    logs = logits.log_softmax(dim=-1)
    if n_top == 0:
        return logs[token].item(), []
    values, tokens = logs.topk(n_top)
    return logs[token].item(), list(zip(tokens.tolist(), values.tolist(), strict=True))
