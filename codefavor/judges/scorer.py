"""Log-probabilities and label logits of a local causal model, each shared token computed once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from codefavor.errors import BackendError, MissingPackageError
from codefavor.judges.token_tree import TokenTree, batch_by_budget, build_trees

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# The vocabulary is large: full logits are made for this many positions at a time.
_HEAD_ROWS = 512
# Measured with a 135M model: batches of 2,048 tokens and more leave the cache and are slower.
_CPU_TOKEN_BUDGET = 1024
_GPU_TOKEN_BUDGET = 32768


class CompletionScore(NamedTuple):
    """The log-probability of a completion (natural logarithm) and its number of tokens."""

    total: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Log-probability per token."""
        return self.total / self.n_tokens


class SequenceScorer:
    """Scores token sequences with a causal (or sequence classification) transformers model.

    Sequences that begin alike are laid out as one tree and computed once under a tree
    attention mask; batches hold trees of like size. On construction, the fast way is compared
    with the model's own plain forward pass; where they differ (an unusual architecture) the
    plain way is used and a warning logged. `n_computed_tokens` counts what went through the
    model, padding not counted.
    """

    def __init__(self, model: Any, *, token_budget: int | None = None) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingPackageError(
                "torch", "local", "a judge that runs a local model"
            ) from error
        self._torch = torch
        self.model = model
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.config = self.base.config.get_text_config()
        self.device = next(self.base.parameters()).device
        default = _CPU_TOKEN_BUDGET if self.device.type == "cpu" else _GPU_TOKEN_BUDGET
        self.token_budget = token_budget or default
        self._pair_cost = _pair_cost(self.config)
        self.n_computed_tokens = 0
        self._decoder = _decoder_of(self.base)
        self.is_fast = self._decoder is not None and _has_full_attention(self.config)
        if self.is_fast and not self._agrees_with_plain():
            logger.warning(
                "the fast way differs from the plain forward pass of %s; scoring plainly",
                self.config.model_type,
            )
            self.is_fast = False

    @property
    def max_tokens(self) -> int:
        """The longest sequence that the model's positions can hold."""
        return int(getattr(self.config, "max_position_embeddings", 0) or 1 << 30)

    def check_length(self, n_tokens: int) -> None:
        """Raises BackendError where a sequence is longer than the model can hold."""
        if n_tokens > self.max_tokens:
            raise BackendError(
                f"{n_tokens} tokens, but the model holds {self.max_tokens}",
                retryable=False,
                reason="too_long",
            )

    def completion_logprobs(
        self, items: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[CompletionScore]:
        """The score of each (prompt, completion); prompt and completion are not empty."""
        sequences = [[*prompt, *completion] for prompt, completion in items]
        starts = [len(prompt) for prompt, _ in items]
        scores: list[CompletionScore | None] = [None] * len(items)
        for batch in self._batches(sequences):
            wanted = [_completion_nodes(tree, starts) for tree in batch]
            values = iter(self._node_logprobs(batch, wanted))
            for tree, nodes in zip(batch, wanted, strict=True):
                logprob = {node: next(values) for node in nodes}
                for path, member in zip(tree.paths, tree.members, strict=True):
                    tail = path[starts[member] :]
                    scores[member] = CompletionScore(sum(logprob[n] for n in tail), len(tail))
        return [score for score in scores if score is not None]

    def last_logits(
        self, sequences: Sequence[Sequence[int]], token_ids: Sequence[int] | None
    ) -> list[list[float]]:
        """Logits after the last token of each sequence.

        Of `token_ids` for a language model; None gives all outputs of a classification head.
        """
        found: list[list[float]] = [[] for _ in sequences]
        for batch in self._batches(sequences):
            rows = [row for row, tree in enumerate(batch) for _ in tree.paths]
            columns = [path[-1] for tree in batch for path in tree.paths]
            members = [member for tree in batch for member in tree.members]
            with self._torch.inference_mode():
                logits = self._logits(batch, rows, columns)
                if token_ids is not None:
                    logits = logits[:, list(token_ids)]
                values = logits.float().cpu().tolist()
            for member, value in zip(members, values, strict=True):
                found[member] = value
        return found

    def _batches(self, sequences: Sequence[Sequence[int]]) -> list[list[TokenTree]]:
        trees = build_trees(sequences, pair_cost=self._pair_cost, is_shared=self.is_fast)
        batches = batch_by_budget([len(tree) for tree in trees], self.token_budget)
        return [[trees[index] for index in batch] for batch in batches]

    def _node_logprobs(
        self, batch: Sequence[TokenTree], nodes: Sequence[Sequence[int]]
    ) -> list[float]:
        """The log-probability of each node's token after its parent, tree by tree."""
        torch = self._torch
        at = [(row, node) for row, wanted in enumerate(nodes) for node in wanted]
        rows = [row for row, _ in at]
        columns = [batch[row].parents[node] for row, node in at]
        targets = torch.tensor([batch[row].tokens[node] for row, node in at], device=self.device)
        values: list[float] = []
        with torch.inference_mode():
            states = self._states(batch, rows, columns)
            for start in range(0, len(at), _HEAD_ROWS):
                logits = self._head(states[start : start + _HEAD_ROWS]).float()
                picked = logits.gather(1, targets[start : start + _HEAD_ROWS, None])[:, 0]
                values.extend((picked - logits.logsumexp(-1)).double().cpu().tolist())
        return values

    def _logits(
        self, batch: Sequence[TokenTree], rows: Sequence[int], columns: Sequence[int]
    ) -> torch.Tensor:
        return self._head(self._states(batch, rows, columns))

    def _states(
        self, batch: Sequence[TokenTree], rows: Sequence[int], columns: Sequence[int]
    ) -> torch.Tensor:
        """Hidden states at the positions; in the plain way already the model's own logits."""
        inputs = self._inputs(batch)
        self.n_computed_tokens += sum(len(tree) for tree in batch)
        if self.is_fast and self._decoder is not None:
            states = self._decoder(**inputs, use_cache=False).last_hidden_state
        else:
            states = self.model(**inputs, use_cache=False).logits
            if states.dim() == 2:  # a classification head has pooled already
                pooled: torch.Tensor = states[list(rows)]
                return pooled
        picked: torch.Tensor = states[list(rows), list(columns)]
        return picked

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        if not self.is_fast:
            return states
        head = self.base.score if hasattr(self.base, "score") else self.base.get_output_embeddings()
        logits: torch.Tensor = head(states)
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if not cap else self._torch.tanh(logits / cap) * cap

    def _inputs(self, batch: Sequence[TokenTree]) -> dict[str, torch.Tensor]:
        """Right-padded inputs; a tree's mask lets each token see its ancestors and itself."""
        torch = self._torch
        width = max(len(tree) for tree in batch)
        pad = self.config.pad_token_id or 0
        ids = torch.full((len(batch), width), pad, dtype=torch.long)
        positions = torch.zeros((len(batch), width), dtype=torch.long)
        for row, tree in enumerate(batch):
            ids[row, : len(tree)] = torch.tensor(tree.tokens)
            positions[row, : len(tree)] = torch.tensor(tree.depths)
        if all(tree.is_chain for tree in batch):
            # Right padding is invisible to the tokens before it under causal attention.
            mask = torch.zeros((len(batch), width), dtype=torch.long)
            for row, tree in enumerate(batch):
                mask[row, : len(tree)] = 1
        else:
            mask = self._tree_mask(batch, width)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}

    def _tree_mask(self, batch: Sequence[TokenTree], width: int) -> torch.Tensor:
        import numpy as np

        seen = np.zeros((len(batch), width, width), dtype=bool)
        # Padding sees itself: a row without any visible token would be not-a-number.
        seen[:, np.arange(width), np.arange(width)] = True
        for row, tree in enumerate(batch):
            for node, parent in enumerate(tree.parents):
                if parent >= 0:
                    seen[row, node, : parent + 1] |= seen[row, parent, : parent + 1]
        dtype = next(self.base.parameters()).dtype
        hidden = ~self._torch.from_numpy(seen)[:, None]
        zeros = self._torch.zeros(hidden.shape, dtype=dtype)
        return zeros.masked_fill_(hidden, self._torch.finfo(dtype).min)

    def _agrees_with_plain(self) -> bool:
        """Whether trees and head give what the model's own forward pass gives, on a probe."""
        torch = self._torch
        top = min(int(self.config.vocab_size) - 1, 400)
        stem = [top - step for step in range(8)]
        probes = [[*stem, 7, 9, 11], [*stem, 7, 12], [*stem[:3], 5, 6, 8]]
        dtype = next(self.base.parameters()).dtype
        tolerance = 1e-3 if dtype in (torch.float32, torch.float64) else 0.25
        was_shared, self._pair_cost = self._pair_cost, 0.0
        try:
            fast = self.last_logits(probes, None)
            with torch.inference_mode():
                for probe, values in zip(probes, fast, strict=True):
                    ids = torch.tensor([probe], device=self.device)
                    logits = self.model(input_ids=ids).logits
                    plain = logits[0, -1] if logits.dim() == 3 else logits[0]
                    difference = (plain.float().cpu() - torch.tensor(values)).abs().max().item()
                    if not difference <= tolerance:
                        return False
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            logger.warning("the fast way failed on a probe (%s)", error)
            return False
        finally:
            self._pair_cost, self.n_computed_tokens = was_shared, 0
        return True


def _completion_nodes(tree: TokenTree, starts: Sequence[int]) -> list[int]:
    members = zip(tree.paths, tree.members, strict=True)
    return sorted({node for path, member in members for node in path[starts[member] :]})


def _pair_cost(config: Any) -> float:
    """Cost of one attention pair over the other cost of one token, by multiply-adds."""
    width = int(getattr(config, "hidden_size", 0) or 1)
    inner = int(getattr(config, "intermediate_size", 0) or 4 * width)
    heads = int(getattr(config, "num_attention_heads", 0) or 1)
    shared = int(getattr(config, "num_key_value_heads", 0) or heads) / heads
    return 2 * width / (width * width * (2 + 2 * shared) + 3 * width * inner)


def _decoder_of(base: Any) -> Any | None:
    """The stack below the head, None where the model does not show one."""
    if hasattr(base, "score"):
        return getattr(base, base.base_model_prefix, None)
    if not hasattr(base, "get_decoder") or base.get_output_embeddings() is None:
        return None
    decoder = base.get_decoder()
    return None if decoder is base else decoder


def _has_full_attention(config: Any) -> bool:
    """Whether a tree mask means what it says: no sliding windows, a masked implementation."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    has_window = getattr(config, "sliding_window", None) and getattr(
        config, "use_sliding_window", True
    )
    masked = getattr(config, "_attn_implementation", "sdpa") in ("sdpa", "eager", None)
    return masked and kinds == {"full_attention"} and not has_window
