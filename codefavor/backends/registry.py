"""Backends by name: "openai:gpt-4o" is the kind, a colon, and the model id as it is."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from codefavor.backends.base import Backend
from codefavor.errors import ConfigError

# kind -> "module:class"; imported only when asked for, so that no client library is needed.
BACKENDS = {
    "openai": "codefavor.backends.openai_api:OpenAIBackend",
    "local": "codefavor.backends.local:LocalBackend",
    "embedded": "codefavor.backends.embedded:EmbeddedBackend",
    "fake": "codefavor.backends.fake:FakeBackend",
    "bedrock": "codefavor.backends.bedrock:BedrockBackend",
    "gemini": "codefavor.backends.gemini:GeminiBackend",
    "anthropic": "codefavor.backends.anthropic_api:AnthropicBackend",
    "vllm": "codefavor.backends.vllm:VLLMBackend",
}


def make_backend(spec: str, **options: Any) -> Backend:
    """The backend for "kind:model", with that kind's own options.

    Raises ConfigError for an unknown kind or option (naming the known ones), and
    MissingPackageError if the kind needs a package that is not installed.
    """
    kind, _, model = spec.partition(":")
    if kind not in BACKENDS:
        raise ConfigError(
            f"unknown backend {kind!r} in {spec!r}; known: {', '.join(sorted(BACKENDS))} "
            "(written kind:model, for example openai:gpt-4o)"
        )
    module_name, _, class_name = BACKENDS[kind].partition(":")
    factory = getattr(importlib.import_module(module_name), class_name)
    parameters = inspect.signature(factory).parameters
    known = [name for name in parameters if name != "model"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"the backend {kind!r} has no option {unknown[0]!r}; "
            f"known: {', '.join(known) or 'none'}"
        )
    needs_model = parameters["model"].default is inspect.Parameter.empty
    if needs_model and not model:
        raise ConfigError(f"the backend {kind!r} needs a model: write {kind}:<model id>")
    backend: Backend = factory(model, **options) if model else factory(**options)
    return backend
