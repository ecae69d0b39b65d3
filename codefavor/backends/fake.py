"""A backend that is a function: for tests, examples and dry trials without any model."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Awaitable, Callable
from typing import ClassVar

from codefavor.backends.base import Backend, Feature, Request, Response, Usage
from codefavor.errors import BackendError, ConfigError
from codefavor.records import Row, whole_text

Answer = str | Response
Function = Callable[[Request], Answer | Awaitable[Answer]]


class FakeBackend(Backend):
    """Answers with what a function returns: a text, or a whole Response.

    `model` is "echo" (repeats the last message) or "package.module:function". In code, pass
    `function`; it may be async, and may raise BackendError to play a failing server.
    Tokens are counted as words. The requests it was asked are kept in `requests`.
    """

    name: ClassVar[str] = "fake"
    features: frozenset[Feature] = frozenset(
        {"n", "seed", "logprobs", "json_schema", "stop", "system", "prefill"}
    )
    start_concurrency = None
    is_in_process: ClassVar[bool] = True

    def __init__(self, model: str = "echo", *, function: Function | None = None) -> None:
        super().__init__(model)
        self._function = function or _find_function(model)
        self.requests: list[Request] = []

    @property
    def identity(self) -> Row:
        """Two functions are told apart by `model` only."""
        return {"backend": self.name, "model": self.model}

    async def generate(self, request: Request) -> Response:
        """The function's answer; n > 1 calls it n times."""
        self.requests.append(request)
        samples = [await self._one(request) for _ in range(request.sampling.n)]
        return Response.of(samples, sum((sample.usage for sample in samples), Usage()))

    async def _one(self, request: Request) -> Response:
        answer = self._function(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Response):
            return answer
        if not isinstance(answer, str):
            raise BackendError(
                f"the function of fake:{self.model} returned {type(answer).__name__}, "
                "expected a text or a Response",
                reason="bad_response",
            )
        answer = whole_text(answer)
        n_input = sum(len(message["content"].split()) for message in request.messages)
        return Response(answer, "stop", Usage(n_input, len(answer.split())))


def _echo(request: Request) -> str:
    return request.messages[-1]["content"]


def _find_function(model: str) -> Function:
    if model == "echo":
        return _echo
    module_name, _, function_name = model.partition(":")
    try:
        function: Function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"fake:{model}: no such function ({error}); write fake:echo or "
            "fake:package.module:function"
        ) from error
    return function
