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
    parameters = inspect.signature(factory).parameters
    known = list(parameters)[1:]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"batch mode of {backend.name!r} has no option {unknown[0]!r}; "
            f"known: {', '.join(known)}"
        )
    missing = [
        name
        for name in known
        if name not in options and parameters[name].default is inspect.Parameter.empty
    ]
    if missing:
        raise ConfigError(
            f"batch mode of {backend.name!r} needs {', '.join(missing)}: "
            + " ".join(f"--batch-set {name}=..." for name in missing)
        )
    return factory(first, **options)


def _factory_of(backend: Backend) -> tuple[Callable[..., Any], Any]:
    # Imported here: each service needs its own client library.
    if backend.name == "openai":
        from codefavor.backends.batch_openai import OpenAIBatchService

        return OpenAIBatchService, backend
    if backend.name == "bedrock":
        from codefavor.backends.batch_bedrock import BedrockBatchService

        return BedrockBatchService, backend
    if backend.name == "vllm":
        from codefavor.backends.batch_vllm import VLLMBatchService

        return VLLMBatchService, backend
    raise ConfigError(
        f"the backend {backend.name!r} has no batch mode; {', '.join(BATCH_KINDS)} have"
    )
