"""What a model server is to this project: one request in, one response out."""

from __future__ import annotations

import itertools
import math
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row, content_id, whole_text

Message = Mapping[str, str]
Feature = Literal["n", "seed", "logprobs", "json_schema", "stop", "system", "prefill"]

# How a model is asked: by chat messages, or by a bare prompt that it continues.
Mode = Literal["chat", "completion"]
# The kinds of values that options of backends have beside plain ones.
Text = Annotated[str, msgspec.Meta(min_length=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Dtype = Literal["auto", "float64", "float32", "bfloat16", "float16"]

ROLES = ("system", "user", "assistant")
# Names of query parameters that may carry a secret.
_SECRET = re.compile(r"key|token|secret|sig|pass|auth|code|cred", re.I)


# These five are Structs, not dataclasses: a frozen dataclass takes ten times as long to make, and
# a request makes a dozen of them.
class Sampling(msgspec.Struct, frozen=True):
    """How a model answers. `temperature` 0 means greedy: no randomness at all.

    `n` answers are asked for at once; `max_tokens` bounds each (reasoning included).
    `seed` makes a repetition give the same answers where the backend can. `logprobs` is the
    number of most likely tokens reported at each position (0: only the chosen token; None:
    nothing). `json_schema` makes the answer a JSON text of that schema.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 1024
    n: int = 1
    seed: int | None = None
    logprobs: int | None = None
    json_schema: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf or not 0 < self.top_p <= 1:
            raise ConfigError(
                f"temperature must be a number from 0 and top_p one in (0, 1]; found "
                f"{self.temperature} and {self.top_p}"
            )
        for name, low in (("max_tokens", 1), ("n", 1), ("seed", None), ("logprobs", 0)):
            value = getattr(self, name)
            if value is None and name in ("seed", "logprobs"):
                continue
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if not is_whole or (low is not None and value < low) or abs(value) >= 1 << 63:
                bound = "" if low is None else f" from {low}"
                raise ConfigError(f"{name} must be a whole number{bound}; found {value!r}")

    def to_row(self) -> Row:
        """The plain JSON form, without the fields that say nothing."""
        values = msgspec.structs.asdict(self)
        return {name: value for name, value in values.items() if value is not None}


GREEDY = Sampling()


class Request(msgspec.Struct, frozen=True):
    """One question to a model. The answer ends before the first of the `stop` strings."""

    messages: Sequence[Message]
    sampling: Sampling = GREEDY
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_messages(self.messages)
        texts = [message["content"] for message in self.messages]
        if not all(map(str.isascii, texts)) and (whole := list(map(whole_text, texts))) != texts:
            messages = zip(self.messages, whole, strict=True)
            said = [{**message, "content": text} for message, text in messages]
            msgspec.structs.force_setattr(self, "messages", said)

    def to_row(self) -> Row:
        """The plain JSON form, which request keys and batch files are made of."""
        return {
            "messages": [dict(message) for message in self.messages],
            "sampling": self.sampling.to_row(),
            "stop": list(self.stop),
        }

    @classmethod
    def from_row(cls, row: Row) -> Request:
        """The request of `to_row`."""
        return cls(row["messages"], Sampling(**row["sampling"]), tuple(row["stop"]))

    @property
    def system(self) -> str:
        """The system's message, which some services take apart from the rest; "" without one."""
        first = self.messages[0]
        return first["content"] if first["role"] == "system" else ""

    @property
    def turns(self) -> list[Message]:
        """The messages of user and assistant."""
        return [message for message in self.messages if message["role"] != "system"]

    @property
    def n_input_bytes(self) -> int:
        """UTF-8 bytes of all messages: an upper bound of their tokens for byte-level models."""
        total = 0
        for message in self.messages:
            text = message["content"]
            # Asked three times a request, and most prompts are plain ASCII.
            total += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        return total


class Usage(msgspec.Struct, frozen=True):
    """Tokens as the server counted them; `cached_tokens` are the cheaper part of the input.

    No input at all (`Usage()`) means that the server did not count.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0

    def to_row(self) -> Row:
        """The plain JSON form."""
        return msgspec.structs.asdict(self)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
        )


NO_USAGE = Usage()


class TokenLogprob(msgspec.Struct, frozen=True):
    """A chosen token, its natural log-probability, and those of the likeliest tokens there."""

    token: str
    logprob: float
    top: Mapping[str, float] = msgspec.field(default_factory=dict)


class Response(msgspec.Struct, frozen=True):
    """One answer. `samples` holds all n answers in order, the first being this one's text.

    `finish_reason`: stop (ended by itself or at a stop string), length (hit `max_tokens`),
    filtered (withheld by the server's policy; `text` may be empty), or other:<word>.
    `usage` counts all samples. `reasoning` is what a reasoning model thought, if it is shown.
    `pause_s` is for how long the server wants no further request (its rate-limit headers).
    `is_cached` says that nobody was asked: it was received before.
    """

    text: str
    finish_reason: str = "stop"
    usage: Usage = NO_USAGE
    logprobs: tuple[TokenLogprob, ...] | None = None
    reasoning: str = ""
    samples: tuple[Response, ...] = ()
    pause_s: float = 0.0
    is_cached: bool = False

    @classmethod
    def of(cls, samples: Sequence[Response], usage: Usage) -> Response:
        """The response of all n answers, whose first is also its own text."""
        several = tuple(samples) if len(samples) > 1 else ()
        return msgspec.structs.replace(samples[0], usage=usage, samples=several)

    def answers(self) -> tuple[Response, ...]:
        """All n answers; the response itself where only one was asked for.

        Where a server counts only the sum of n answers, each has its share of it: the prompt in
        equal parts, the rest by the length of its text.
        """
        if not self.samples:
            return (self,)
        known = sum((sample.usage for sample in self.samples), Usage())
        even = [1] * len(self.samples)
        lengths = [len(one.text) + len(one.reasoning) + 1 for one in self.samples]
        extra = zip(
            _shares(self.usage.input_tokens - known.input_tokens, even),
            _shares(self.usage.output_tokens - known.output_tokens, lengths),
            _shares(self.usage.cached_tokens - known.cached_tokens, even),
            strict=True,
        )
        return tuple(
            msgspec.structs.replace(sample, usage=sample.usage + Usage(*more))
            for sample, more in zip(self.samples, extra, strict=True)
        )

    def to_row(self) -> Row:
        """The plain JSON form that caches keep; `from_row` restores it exactly."""
        row: Row = {"text": self.text, "finish_reason": self.finish_reason}
        row["usage"] = self.usage.to_row()
        if self.reasoning:
            row["reasoning"] = self.reasoning
        if self.logprobs is not None:
            row["logprobs"] = [[t.token, t.logprob, dict(t.top)] for t in self.logprobs]
        if self.samples:
            row["samples"] = [sample.to_row() for sample in self.samples]
        return row

    @classmethod
    def from_row(cls, row: Row) -> Response:
        """The response of `to_row`."""
        logprobs = row.get("logprobs")
        return cls(
            text=row["text"],
            finish_reason=row["finish_reason"],
            usage=Usage(**row["usage"]),
            logprobs=None if logprobs is None else tuple(TokenLogprob(*t) for t in logprobs),
            reasoning=row.get("reasoning", ""),
            samples=tuple(cls.from_row(sample) for sample in row.get("samples", ())),
        )


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of a number in these proportions; they sum to it, or to 0 if it is negative."""
    ends = [max(0, total) * sum(weights[:n]) // sum(weights) for n in range(len(weights) + 1)]
    return [end - start for start, end in itertools.pairwise(ends)]


# What services call the most tokens that an answer may have.
LIMIT_NAMES = frozenset(
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict"}
    | {"maxTokens", "maxOutputTokens"}
)


class Backend:
    """A model that answers requests; a subclass writes `generate`.

    `name` is the kind ("openai"), `model` the id the server knows; neither is derived from the
    other. `features` are the parts of a request it can honour: the others it refuses.
    `start_concurrency` is how many requests to begin with, None for as many as allowed. `omit`
    names parameters that the model refuses, such as temperature; ConfigError for the limit on an
    answer's tokens, by which budgets, forecasts and results count.
    """

    name: ClassVar[str] = ""
    features: frozenset[Feature] = frozenset()
    start_concurrency: int | None = 16
    # Whether the model computes in this process, and no server is asked.
    is_in_process: ClassVar[bool] = False

    def __init__(self, model: str, omit: Sequence[str] = ()) -> None:
        unlimited = LIMIT_NAMES.intersection(omit)
        if unlimited:
            raise ConfigError(
                f"the backend {self.name!r}: option 'omit': {min(unlimited)!r} is what budgets and "
                "forecasts count by, so every request says it; give a larger --max-tokens"
            )
        self.model = model
        self.omit = tuple(omit)

    @property
    def identity(self) -> Row:
        """What changes answers, and so belongs into cache keys and manifests.

        Kind, model, what is left out; a subclass adds the server's address or the content of
        the weights, and what else counts.
        """
        omitted = {"omit": sorted(self.omit)} if self.omit else {}
        return {"backend": self.name, "model": self.model, **omitted}

    @property
    def spec(self) -> str:
        """How it is written: "kind:model"."""
        return f"{self.name}:{self.model}"

    def check(self, request: Request) -> None:
        """Raise BackendError (`unsupported`) if the request asks for what this one cannot do."""
        sampling = request.sampling
        wanted: dict[Feature, bool] = {
            "n": sampling.n > 1,
            "seed": sampling.seed is not None,
            "logprobs": sampling.logprobs is not None,
            "json_schema": sampling.json_schema is not None,
            "stop": bool(request.stop),
            "system": any(m["role"] == "system" and m["content"] for m in request.messages),
            "prefill": request.messages[-1]["role"] == "assistant",
        }
        for feature, is_wanted in wanted.items():
            if is_wanted and feature not in self.features:
                raise BackendError(
                    f"the backend {self.name!r} cannot honour {feature!r} for {self.model!r}; "
                    f"it knows {', '.join(sorted(self.features))}",
                    reason="unsupported",
                )

    async def generate(self, request: Request) -> Response:
        """Answer one request. Raises BackendError, which says whether asking again can help."""
        raise NotImplementedError

    async def release(self) -> None:
        """Close what belongs to this event loop; a later request opens it again."""

    async def close(self) -> None:
        """Release everything, processes too; the backend is not used again."""
        await self.release()


def endpoint_of(url: str) -> str:
    """A server's address for keys and manifests, with no secret in it.

    User, password and secret parameters are left out; other parameters count as a hash.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    said = sorted(one for one in urllib.parse.parse_qsl(parts.query) if not _SECRET.search(one[0]))
    query = f"?{content_id(said)[:8]}" if said else ""
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}{query}"


def check_messages(messages: Sequence[Message]) -> None:
    """Raise ConfigError unless these are chat messages: system first if at all, user last.

    An assistant message may stand last too: the model then continues it, where a backend can.
    """
    if not messages:
        raise ConfigError("a request needs at least one message")
    for index, message in enumerate(messages):
        role, content = message.get("role"), message.get("content")
        if role not in ROLES or not isinstance(content, str):
            raise ConfigError(
                f"message {index} must be {{'role': one of {', '.join(ROLES)}, 'content': text}}; "
                f"found {dict(message)!r}"
            )
        if role == "system" and index > 0:
            raise ConfigError(f"message {index}: only the first message may be the system's")


def bare_prompt(request: Request) -> str:
    """The one user message, which is the prompt as it is; raises BackendError for any other."""
    if len(request.messages) != 1 or request.messages[0]["role"] != "user":
        raise BackendError(
            "completion mode takes one user message, whose text is the prompt as it is; found "
            f"{[message['role'] for message in request.messages]}",
            reason="unsupported",
        )
    return request.messages[0]["content"]
