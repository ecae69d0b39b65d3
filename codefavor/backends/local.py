"""Models in this process, through transformers, on an accelerator or the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from codefavor.backends.base import (
    BaseBackend,
    Feature,
    Request,
    Response,
    TokenLogprob,
    Usage,
    cut_at_stop,
)
from codefavor.backends.microbatch import MicroBatcher
from codefavor.backends.weights import weights_sha256
from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.records import Row

if TYPE_CHECKING:
    from codefavor.backends.generation import Draft


class LoadedModel(NamedTuple):
    """A causal language model in evaluation mode, and its tokenizer."""

    model: Any
    tokenizer: Any


def load_model(
    path: Path, *, adapter: Path | None = None, dtype: str = "auto", device: str | None = None
) -> LoadedModel:
    """Load a model folder, with a LoRA adapter on top if one is given.

    `device` None takes the accelerator if there is one. `dtype` "auto" is float32 on a CPU,
    where bfloat16 is 50 times slower, and the model's own elsewhere.
    Raises ConfigError for a folder that holds no model, MissingPackageError without the extra.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingPackageError(error.name or "torch", "local", "a local model") from error
    path = Path(path)
    if not (path / "config.json").is_file():
        raise ConfigError(f"{path}: not a model folder (it has no config.json)")
    device = device or _best_device(torch)
    wanted: Any = "auto" if dtype == "auto" else getattr(torch, dtype)
    if dtype == "auto" and device == "cpu":
        wanted = torch.float32
    # The adapter's folder has the chat template and the end of text that it was trained with.
    has_own = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
    tokenizer = transformers.AutoTokenizer.from_pretrained(adapter if has_own else path)
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=wanted)
    if adapter is not None:
        model = _with_adapter(model, Path(adapter))
    return LoadedModel(model.to(device).eval(), tokenizer)


def _best_device(torch: Any) -> str:
    if not torch.accelerator.is_available():
        return "cpu"
    return str(torch.accelerator.current_accelerator().type)


def _with_adapter(model: Any, adapter: Path) -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingPackageError("peft", "local", "an adapter") from error
    if not (adapter / "adapter_config.json").is_file():
        raise ConfigError(f"{adapter}: not an adapter folder (it has no adapter_config.json)")
    return peft.PeftModel.from_pretrained(model, adapter)


class LocalBackend(BaseBackend):
    """A model folder in this process. Concurrent requests are answered in batches.

    `max_batch` answers are generated together, sorted by length; each is drawn by a generator
    seeded with its request's seed, so batching does not change what it draws. `threads` sets
    the CPU threads of torch for the process, None leaves them.
    """

    name: ClassVar[str] = "local"
    features: frozenset[Feature] = frozenset({"n", "seed", "logprobs", "stop", "system", "prefill"})
    # Nothing overloads it: requests that wait fill the next batch.
    start_concurrency = None

    def __init__(
        self,
        model: str,
        *,
        adapter: str | None = None,
        dtype: str = "auto",
        device: str | None = None,
        max_batch: int = 64,
        max_wait_s: float = 0.05,
        threads: int | None = None,
    ) -> None:
        super().__init__(model)
        path, adapter_path = Path(model), Path(adapter) if adapter else None
        self._loaded = load_model(path, adapter=adapter_path, dtype=dtype, device=device)
        import torch

        from codefavor.backends.generation import Generator

        if threads is not None:
            torch.set_num_threads(threads)
        self._torch = torch
        self._identity = _identity(path, adapter_path)
        self._max_batch = max_batch
        tokenizer = self._loaded.tokenizer
        self._generator = Generator(self._loaded.model, tokenizer, _end_tokens(self._loaded))
        self._context_tokens = getattr(self._loaded.model.config, "max_position_embeddings", None)
        self._batcher: MicroBatcher[Request, Response | BackendError] = MicroBatcher(
            self._answer_all, max_batch, max_wait_s
        )

    @property
    def identity(self) -> Row:
        """The content of the weights, not where they lie."""
        return {"backend": "local", **self._identity}

    async def generate(self, request: Request) -> Response:
        """The answer, after the batch it falls into."""
        self.check(request)
        answer = await self._batcher.submit(request)
        assert isinstance(answer, Response)  # an error is raised by the batcher
        return answer

    async def release(self) -> None:
        """Stop after the batch that runs."""
        await self._batcher.close()

    def _answer_all(self, requests: list[Request]) -> list[Response | BackendError]:
        prompts = [self._encode(request) for request in requests]
        answers: list[Response | BackendError | None] = [
            self._too_long(prompt, request)
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        jobs = sorted(
            (len(prompts[i]), i, k)
            for i, request in enumerate(requests)
            if answers[i] is None
            for k in range(request.sampling.n)
        )
        drafts: dict[tuple[int, int], Draft] = {}
        for start in range(0, len(jobs), self._max_batch):
            chosen = [(i, k) for _, i, k in jobs[start : start + self._max_batch]]
            drafts.update(self._generate_batch(chosen, prompts, requests))
        for i, request in enumerate(requests):
            if answers[i] is None:
                mine = [drafts[i, k] for k in range(request.sampling.n)]
                answers[i] = self._response(request, prompts[i], mine)
        return [answer for answer in answers if answer is not None]

    def _generate_batch(
        self,
        chosen: Sequence[tuple[int, int]],
        prompts: Sequence[list[int]],
        requests: Sequence[Request],
    ) -> dict[tuple[int, int], Draft]:
        indices = sorted({i for i, _ in chosen}, key=lambda i: len(prompts[i]))
        place = {i: row for row, i in enumerate(indices)}
        drafts = {(i, k): self._draft(requests[i], place[i], k) for i, k in chosen}
        self._generator.run([prompts[i] for i in indices], list(drafts.values()))
        return drafts

    def _draft(self, request: Request, prompt: int, sample: int) -> Draft:
        from codefavor.backends.generation import Draft

        sampling = request.sampling
        generator = None
        if sampling.temperature > 0:
            generator = self._torch.Generator()
            if sampling.seed is None:
                generator.seed()
            else:
                generator.manual_seed((sampling.seed * 1_000_003 + sample) % (1 << 63))
        return Draft(
            prompt=prompt,
            generator=generator,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_tokens,
            stop=request.stop,
            n_logprobs=sampling.logprobs,
        )

    def _encode(self, request: Request) -> list[int]:
        messages = [dict(message) for message in request.messages]
        is_continued = messages[-1]["role"] == "assistant"
        encoded = self._loaded.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=not is_continued,
            continue_final_message=is_continued,
            return_dict=True,
        )
        return list(encoded["input_ids"])

    def _too_long(self, prompt: list[int], request: Request) -> BackendError | None:
        limit = self._context_tokens
        if limit is None or len(prompt) + request.sampling.max_tokens <= limit:
            return None
        return BackendError(
            f"{len(prompt)} prompt tokens and {request.sampling.max_tokens} to generate exceed "
            f"the context of {limit} tokens",
            retryable=False,
            reason="context_too_long",
        )

    def _response(self, request: Request, prompt: list[int], drafts: list[Draft]) -> Response:
        samples = [self._sample_response(request, draft) for draft in drafts]
        usage = Usage(len(prompt), sum(len(draft.tokens) for draft in drafts))
        return Response.of(samples, usage)

    def _sample_response(self, request: Request, draft: Draft) -> Response:
        tokenizer = self._loaded.tokenizer
        text, was_cut = cut_at_stop(
            tokenizer.decode(draft.tokens, skip_special_tokens=True), request.stop
        )
        logprobs = None
        if draft.n_logprobs is not None:
            logprobs = tuple(
                TokenLogprob(
                    tokenizer.decode([token]),
                    logprob,
                    {tokenizer.decode([other]): value for other, value in top},
                )
                for token, (logprob, top) in zip(draft.tokens, draft.logprobs, strict=True)
            )
        finish = "stop" if was_cut else draft.finish_reason
        return Response(text, finish, Usage(0, len(draft.tokens)), logprobs)


def _end_tokens(loaded: LoadedModel) -> list[int]:
    """Every token that ends an answer: the tokenizer's and those of the generation config."""
    wanted = getattr(loaded.model.generation_config, "eos_token_id", None)
    from_config = wanted if isinstance(wanted, list) else [wanted]
    found = {loaded.tokenizer.eos_token_id, *from_config} - {None}
    if not found:
        raise ConfigError("neither the tokenizer nor the generation config names an end token")
    return sorted(found)


def _identity(path: Path, adapter: Path | None) -> Row:
    row: Row = {"model": weights_sha256(path)}
    if adapter is not None:
        row["adapter"] = weights_sha256(adapter)
    return row
