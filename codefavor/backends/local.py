"""Models in this process, through transformers, on an accelerator or the CPU."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from codefavor.backends.base import (
    Backend,
    Count,
    Dtype,
    Feature,
    Mode,
    Request,
    Response,
    Seconds,
    Text,
    TokenLogprob,
    Usage,
    bare_prompt,
)
from codefavor.backends.microbatch import MicroBatcher
from codefavor.backends.replies import cut_at_stop
from codefavor.backends.weights import weights_sha256
from codefavor.errors import BackendError, ConfigError, MissingPackageError
from codefavor.once import once
from codefavor.records import Row

if TYPE_CHECKING:
    from codefavor.backends.generation import Draft

logger = logging.getLogger(__name__)


class LoadedModel(NamedTuple):
    """A model in evaluation mode, its tokenizer, and the weights that its folder did not hold."""

    model: Any
    tokenizer: Any
    missing_keys: Sequence[str] = ()


def load_model(
    path: Path | str | LoadedModel,
    *,
    adapter: Path | str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    task: str = "CausalLM",
    **options: Any,
) -> LoadedModel:
    """Load a model folder for a task of transformers ("" is none), with a LoRA adapter if given.

    The tokenizer is the adapter's where it has one: its chat template is the one that was
    trained with. `device` None takes the accelerator if there is one. `dtype` "auto" is float32
    on a CPU, where bfloat16 is 50 times slower, and the model's own elsewhere.
    A model that is loaded already stays as it is. Raises ConfigError for a folder that holds no
    model, MissingPackageError without the extra.
    """
    if isinstance(path, LoadedModel):
        return path
    kind = f"AutoModelFor{task}" if task else "AutoModel"
    wanted = (str(path), str(adapter), dtype, device, kind, *sorted(options.items()))
    load = partial(_load, Path(path), adapter, dtype, device, kind=kind, **options)
    return once(wanted, load)


def n_positions(model: Any) -> int | None:
    """How many tokens an encoder has positions for; None where its configuration does not say.

    RoBERTa's kind counts from behind the padding token: of 514 positions 512 can be used.
    """
    known = getattr(model.config, "max_position_embeddings", None)
    embeddings = getattr(model.base_model, "embeddings", None)
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    return known and known - (0 if padding is None else padding + 1)


def _load(
    path: Path,
    adapter: Path | str | None,
    dtype: str,
    device: str | None,
    *,
    kind: str,
    **options: Any,
) -> LoadedModel:
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingPackageError(error.name or "torch", "local", "a local model") from error
    if not (path / "config.json").is_file():
        raise ConfigError(f"{path}: not a model folder (it has no config.json)")
    logger.info("loading the model %s", path)
    device = device or _best_device(torch)
    wanted: Any = "auto" if dtype == "auto" else getattr(torch, dtype)
    if dtype == "auto" and device == "cpu":
        wanted = torch.float32
    model, info = getattr(transformers, kind).from_pretrained(
        path, dtype=wanted, output_loading_info=True, **options
    )
    source = path
    if adapter is not None:
        model = _with_adapter(model, Path(adapter))
        has_own = (Path(adapter) / "tokenizer_config.json").is_file()
        source = Path(adapter) if has_own else path
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(source)
    try:
        model = model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        # torch's own words, which go on for pages.
        words = str(error).partition("\n")[0]
        raise ConfigError(f"the device {device!r} cannot be used: {words}") from error
    return LoadedModel(model, tokenizer, sorted(info["missing_keys"]))


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


class LocalBackend(Backend):
    """A model folder in this process. Concurrent requests are answered in batches.

    `max_batch` answers are generated together, sorted by length; each is drawn by a generator
    seeded with its request's seed, so batching does not change what it draws. `threads` sets
    the CPU threads of torch for the process, None leaves them. `mode` "completion" takes the one
    user message for a bare prompt, as a base model continues it.
    """

    name: ClassVar[str] = "local"
    features: frozenset[Feature] = frozenset({"n", "seed", "logprobs", "stop", "system", "prefill"})
    # Nothing overloads it: requests that wait fill the next batch.
    start_concurrency = None
    is_in_process: ClassVar[bool] = True

    def __init__(
        self,
        model: str,
        *,
        adapter: Text | None = None,
        dtype: Dtype = "auto",
        device: Text | None = None,
        max_batch: Count = 64,
        max_wait_s: Seconds = 0.05,
        threads: Count | None = None,
        mode: Mode = "chat",
    ) -> None:
        super().__init__(model)
        self._mode = mode
        path = Path(model)
        self._loaded = load_model(path, adapter=adapter, dtype=dtype, device=device)
        import torch

        from codefavor.backends.generation import Generator

        if threads is not None:
            torch.set_num_threads(threads)
        self._torch = torch
        self._identity = {"model": weights_sha256(path)}
        if adapter is not None:
            self._identity["adapter"] = weights_sha256(Path(adapter))
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
        mode = {"mode": self._mode} if self._mode != "chat" else {}
        return {"backend": "local", **self._identity, **mode}

    @property
    def loaded(self) -> LoadedModel:
        """The model and its tokenizer, for what is not a request."""
        return self._loaded

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
        errors = [
            self._too_long(len(prompt), one) for prompt, one in zip(prompts, requests, strict=True)
        ]
        # (request, sample), of like length together.
        jobs = [
            (i, k)
            for i in sorted(range(len(requests)), key=lambda i: len(prompts[i]))
            if errors[i] is None
            for k in range(requests[i].sampling.n)
        ]
        drafts: list[list[Draft]] = [[] for _ in requests]
        for start in range(0, len(jobs), self._max_batch):
            chosen = jobs[start : start + self._max_batch]
            place = {i: row for row, i in enumerate(dict.fromkeys(i for i, _ in chosen))}
            batch = [self._draft(requests[i], place[i], k) for i, k in chosen]
            self._generator.run([prompts[i] for i in place], batch)
            for (i, _), draft in zip(chosen, batch, strict=True):
                drafts[i].append(draft)
        return [
            error or self._response(len(prompts[i]), drafts[i]) for i, error in enumerate(errors)
        ]

    def _draft(self, request: Request, prompt: int, sample: int) -> Draft:
        from codefavor.backends.generation import Draft

        generator = self._torch.Generator()
        if request.sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed((request.sampling.seed * 1_000_003 + sample) % (1 << 63))
        return Draft(prompt, request, generator)

    def _encode(self, request: Request) -> list[int]:
        if self._mode == "completion":
            return list(self._loaded.tokenizer(bare_prompt(request))["input_ids"])
        return chat_ids(self._loaded.tokenizer, request.messages)

    def _too_long(self, n_tokens: int, request: Request) -> BackendError | None:
        limit = self._context_tokens
        if limit is None or n_tokens + request.sampling.max_tokens <= limit:
            return None
        return BackendError(
            f"{n_tokens} prompt tokens and {request.sampling.max_tokens} to generate exceed "
            f"the context of {limit} tokens",
            reason="context_too_long",
        )

    def _response(self, n_input: int, drafts: list[Draft]) -> Response:
        samples = [self._sample_response(draft) for draft in drafts]
        return Response.of(samples, Usage(n_input, sum(len(draft.tokens) for draft in drafts)))

    def _sample_response(self, draft: Draft) -> Response:
        decode, request = self._loaded.tokenizer.decode, draft.request
        text, was_cut = cut_at_stop(decode(draft.tokens, skip_special_tokens=True), request.stop)
        logprobs = None
        if request.sampling.logprobs is not None:
            logprobs = tuple(
                TokenLogprob(
                    decode([token]), logprob, {decode([other]): value for other, value in top}
                )
                for token, (logprob, top) in zip(draft.tokens, draft.logprobs, strict=True)
            )
        finish = "stop" if was_cut else draft.finish_reason
        return Response(text, finish, Usage(0, len(draft.tokens)), logprobs)


def chat_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """The tokens behind which a model answers a conversation, or goes on with its last turn.

    Where it answers is its template's to say: a training saves the template that asks where the
    trained answers began.
    """
    is_continued = messages[-1]["role"] == "assistant"
    encoded = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        add_generation_prompt=not is_continued,
        continue_final_message=is_continued,
        return_dict=True,
    )
    return list(encoded["input_ids"])


def _end_tokens(loaded: LoadedModel) -> list[int]:
    """Every token that ends an answer: the tokenizer's and those of the generation config."""
    wanted = getattr(loaded.model.generation_config, "eos_token_id", None)
    from_config = wanted if isinstance(wanted, list) else [wanted]
    found = {loaded.tokenizer.eos_token_id, *from_config} - {None}
    if not found:
        raise ConfigError("neither the tokenizer nor the generation config names an end token")
    return sorted(found)
