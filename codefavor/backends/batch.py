"""Batch services by the kind of backend that they belong to."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from codefavor.backends.base import Backend
from codefavor.errors import ConfigError

BATCH_KINDS = ("openai", "bedrock", "vllm")


def make_batch_service(backend: Backend, **options: Any) -> Any:
    """The batch service of a backend, with that service's own options.

    Raises ConfigError for a backend without one, and for unknown or missing options.
    """
    factory, first = _factory_of(backend)
    known = list(inspect.signature(factory).parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"batch mode of {backend.name!r} has no option {unknown[0]!r}; "
            f"known: {', '.join(known)}"
        )
    try:
        return factory(first, **options)
    except TypeError as error:
        raise ConfigError(f"batch mode of {backend.name!r}: {error}; known: {known}") from error


def _factory_of(backend: Backend) -> tuple[Callable[..., Any], Any]:
    # Imported here: each service needs its own client library.
    if backend.name == "openai":
        from codefavor.backends.batch_openai import OpenAIBatchService

        return OpenAIBatchService, backend
    if backend.name == "bedrock":
        from codefavor.backends.batch_bedrock import BedrockBatchService

        return BedrockBatchService, backend.model
    if backend.name == "vllm":
        from codefavor.backends.batch_vllm import VLLMBatchService

        return VLLMBatchService, backend.model
    raise ConfigError(
        f"the backend {backend.name!r} has no batch mode; {', '.join(BATCH_KINDS)} have"
    )
