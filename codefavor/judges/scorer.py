"""Log-probabilities and label logits of a local causal model, each shared token computed once."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from codefavor.errors import BackendError, MissingPackageError
from codefavor.judges.row_attention import Carried, make_layout, row_attention
from codefavor.judges.token_rows import TokenRow, pack_alone, pack_shared

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

# The vocabulary is large: full logits are made for this many positions at a time.
_HEAD_ROWS = 512
# Measured with a 135M model: rows of 384 to 2,048 tokens take the same time within 4 %.
_CPU_TOKEN_BUDGET = 1024
_GPU_TOKEN_BUDGET = 32768
# Having freed a block of this size once, glibc keeps the memory of all smaller tensors instead of
# mapping it anew each time, which was up to a tenth of the time of a pass (its limit is 32 MiB).
_KEPT_BYTES = 31 << 20


class CompletionScore(NamedTuple):
    """The log-probability of a completion (natural logarithm) and its number of tokens."""

    total: float
    n_tokens: int


class SequenceScorer:
    """Scores token sequences with a causal (or sequence classification) transformers model.

    Sequences go through the model in rows without padding, a beginning that several share once
    (`row_attention`). On construction, this fast way is compared with the model's own plain
    forward pass; where they differ (an unusual architecture) the plain way is used, in padded
    batches, and a warning logged. `n_computed_tokens` counts what went through the model,
    padding not counted.
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
        # The longest sequence that the model's positions can hold.
        self.max_tokens = int(getattr(self.config, "max_position_embeddings", 0) or 1 << 30)
        self.n_computed_tokens = 0
        self._lock = threading.Lock()
        if self.device.type == "cpu":
            torch.empty(_KEPT_BYTES, dtype=torch.uint8)
        self._decoder = _decoder_of(self.base)
        self.is_fast = self._decoder is not None and _has_full_attention(self.config)
        if self.is_fast and not self._agrees_with_plain():
            logger.warning(
                "the fast way differs from the plain forward pass of %s; scoring plainly",
                self.config.model_type,
            )
            self.is_fast = False

    def completion_logprobs(
        self, items: Sequence[tuple[Sequence[int], Sequence[int]]]
    ) -> list[CompletionScore | BackendError]:
        """The score of each (prompt, completion); neither of them is empty.

        An error stands for one that is longer than the model can hold.
        """
        sequences = [[*prompt, *completion] for prompt, completion in items]
        logprobs: list[float] = []
        # Where in `logprobs` the tokens of the last sequence stand, by their positions.
        known: dict[int, int] = {}
        places: dict[int, list[int]] = {}
        carried = Carried()
        for row in self._rows(sequences):
            nodes: list[int] = []
            targets: list[int] = []
            for index, member in enumerate(row.members):
                sequence, path = sequences[member], row.nodes(index)
                known = {at: place for at, place in known.items() if at < row.n_shared[index]}
                completion = range(len(items[member][0]), len(sequence))
                for at in completion:
                    if at not in known:
                        known[at] = len(logprobs) + len(targets)
                        nodes.append(path[at - 1])
                        targets.append(sequence[at])
                places[member] = [known[at] for at in completion]
            logprobs += self._logprobs(row, carried, nodes, targets)
        return [
            CompletionScore(sum(logprobs[place] for place in places[number]), len(places[number]))
            if number in places
            else self._too_long(sequence)
            for number, sequence in enumerate(sequences)
        ]

    def last_logits(
        self, sequences: Sequence[Sequence[int]], token_ids: Sequence[int] | None = None
    ) -> list[list[float] | BackendError]:
        """Logits after the last token of each sequence (see `logits_at`)."""
        found = self.logits_at(sequences, [[len(one) - 1] for one in sequences], token_ids)
        return [one if isinstance(one, BackendError) else one[0] for one in found]

    def logits_at(
        self,
        sequences: Sequence[Sequence[int]],
        places: Sequence[Sequence[int]],
        token_ids: Sequence[int] | None = None,
    ) -> list[list[list[float]] | BackendError]:
        """Logits after the tokens at these places of each sequence, which has at least one.

        Of `token_ids` for a language model; None gives all outputs of a classification head.
        An error stands for a sequence that is longer than the model can hold.
        """
        found: dict[int, list[list[float]]] = {}
        carried = Carried()
        for row in self._rows(sequences):
            nodes: list[int] = []
            for index, member in enumerate(row.members):
                path = row.nodes(index)
                nodes += [path[at] for at in places[member]]
            with self._torch.inference_mode():
                logits = self._head(self._states(row, carried, nodes))
                if token_ids is not None:
                    logits = logits[:, list(token_ids)]
                values = iter(logits.float().cpu().tolist())
            for member in row.members:
                found[member] = list(itertools.islice(values, len(places[member])))
        return [found.get(n) or self._too_long(one) for n, one in enumerate(sequences)]

    def _rows(self, sequences: Sequence[Sequence[int]]) -> list[TokenRow]:
        """Rows of the sequences that the model can hold; `members` are their numbers here."""
        fitting = [n for n, one in enumerate(sequences) if len(one) <= self.max_tokens]
        pack = pack_shared if self.is_fast else pack_alone
        rows = pack([sequences[number] for number in fitting], self.token_budget)
        for row in rows:
            row.members = [fitting[member] for member in row.members]
        return rows

    def _too_long(self, sequence: Sequence[int]) -> BackendError:
        return BackendError(
            f"{len(sequence)} tokens, but the model holds {self.max_tokens}",
            reason="too_long",
        )

    def _logprobs(
        self, row: TokenRow, carried: Carried, nodes: Sequence[int], targets: Sequence[int]
    ) -> list[float]:
        """The log-probability of each target after its node."""
        torch = self._torch
        tokens = torch.tensor(targets, dtype=torch.long, device=self.device)
        values: list[float] = []
        with torch.inference_mode():
            states = self._states(row, carried, nodes)
            for start in range(0, len(nodes), _HEAD_ROWS):
                logits = self._head(states[start : start + _HEAD_ROWS])
                logits = logits if logits.dtype == torch.float64 else logits.float()
                picked = logits.gather(1, tokens[start : start + _HEAD_ROWS, None])[:, 0]
                values.extend((picked - logits.logsumexp(-1)).double().cpu().tolist())
        return values

    def _states(self, row: TokenRow, carried: Carried, nodes: Sequence[int]) -> torch.Tensor:
        """Hidden states at the nodes; in the plain way already the model's own logits."""
        self.n_computed_tokens += len(row)
        if not self.is_fast or self._decoder is None:
            return self._plain_logits(row, nodes)
        with self._lock, row_attention(self._decoder.config):
            own = self._decoder(
                input_ids=self._torch.tensor([row.tokens], device=self.device),
                position_ids=self._torch.tensor([row.depths], device=self.device),
                row_layout=make_layout(row, carried, next(self.base.parameters())),
                use_cache=False,
            ).last_hidden_state[0]
        return carried.extend_states(row, own)[list(nodes)]

    def _plain_logits(self, row: TokenRow, nodes: Sequence[int]) -> torch.Tensor:
        """Logits at the nodes, each run a line of a padded batch through the model itself."""
        zeros, tensor = self._torch.zeros, self._torch.tensor
        # Right padding is invisible to the tokens before it under causal attention.
        shape = (len(row.runs), max(run.stop - run.start for run in row.runs))
        ids = zeros(shape, dtype=self._torch.long) + (self.config.pad_token_id or 0)
        mask = zeros(shape, dtype=self._torch.long)
        lines: list[int] = []
        for line, (start, stop, _) in enumerate(row.runs):
            ids[line, : stop - start] = tensor(row.tokens[start:stop])
            mask[line, : stop - start] = 1
            lines += [line] * (stop - start)
        inputs = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        logits = self.model(**inputs, use_cache=False).logits
        at = [lines[node] for node in nodes]
        # A classification head has pooled already.
        pooled = logits.dim() == 2
        picked: torch.Tensor = logits[at] if pooled else logits[at, [row.depths[n] for n in nodes]]
        return picked

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        if not self.is_fast:
            return states
        head = self.base.score if hasattr(self.base, "score") else self.base.get_output_embeddings()
        logits: torch.Tensor = head(states)
        cap = getattr(self.config, "final_logit_softcapping", None)
        return logits if not cap else self._torch.tanh(logits / cap) * cap

    def _agrees_with_plain(self) -> bool:
        """Whether rows and head give what the model's own forward pass gives, on a probe."""
        torch = self._torch
        top = min(int(self.config.vocab_size) - 1, 400)
        stem = [top - step for step in range(8)]
        probes = [[*stem, 7, 9, 11], [*stem, 7, 12], [*stem[:3], 5, 6, 8]]
        dtype = next(self.base.parameters()).dtype
        tolerance = 1e-3 if dtype in (torch.float32, torch.float64) else 0.25
        # Two of them fit into this budget, so that one row carries on from another.
        budget, self.token_budget = self.token_budget, 14
        try:
            fast = self.last_logits(probes)
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
            self.token_budget, self.n_computed_tokens = budget, 0
        return True


def _decoder_of(base: Any) -> Any | None:
    """The stack below the head, None where the model does not show one."""
    if hasattr(base, "score"):
        return getattr(base, base.base_model_prefix, None)
    if not hasattr(base, "get_decoder") or base.get_output_embeddings() is None:
        return None
    decoder = base.get_decoder()
    return None if decoder is base else decoder


def _has_full_attention(config: Any) -> bool:
    """Whether attention by rows means what it says: no sliding windows, a masked implementation."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    has_window = getattr(config, "sliding_window", None) and getattr(
        config, "use_sliding_window", True
    )
    masked = getattr(config, "_attn_implementation", "sdpa") in ("sdpa", "eager", None)
    return masked and kinds == {"full_attention"} and not has_window
