"""Backends by name: "openai:gpt-4o" is the kind, a colon, and the model id as it is.

Batch services by the kind of backend that they belong to.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from codefavor.backends.base import Backend
from codefavor.backends.connection import Connection
from codefavor.errors import ConfigError
from codefavor.records import json_names

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
BATCH_SERVICES = {
    "openai": "codefavor.backends.batch_openai:OpenAIBatchService",
    "bedrock": "codefavor.backends.batch_bedrock:BedrockBatchService",
    "vllm": "codefavor.backends.batch_openai:VLLMBatchService",
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
    factory, parameters = _load(BACKENDS[kind], "model", "connection")
    takes_connection = "connection" in inspect.signature(factory).parameters
    shared = list(Connection.__annotations__) if takes_connection else []
    whose = f"the backend {kind!r}"
    _check_names(whose, options, [*parameters, *shared])
    hints = get_type_hints(factory.__init__, include_extras=True)
    hints |= get_type_hints(Connection, include_extras=True) if takes_connection else {}
    options = {name: _checked(whose, name, one, hints[name]) for name, one in options.items()}
    if takes_connection:
        given = {name: options.pop(name) for name in shared if name in options}
        options["connection"] = Connection(**given)
    if model:
        options["model"] = model
    elif _is_required(inspect.signature(factory).parameters["model"]):
        raise ConfigError(f"the backend {kind!r} needs a model: write {kind}:<model id>")
    backend: Backend = factory(**options)
    return backend


def make_batch_service(backend: Backend, **options: Any) -> Any:
    """The batch service of a backend, with that service's own options.

    Raises ConfigError for a backend without one, and for unknown or missing options.
    """
    if backend.name not in BATCH_SERVICES:
        raise ConfigError(
            f"the backend {backend.name!r} has no batch mode; {', '.join(BATCH_SERVICES)} have"
        )
    factory, parameters = _load(BATCH_SERVICES[backend.name], "backend")
    whose = f"batch mode of {backend.name!r}"
    _check_names(whose, options, list(parameters))
    hints = get_type_hints(factory.__init__, include_extras=True)
    options = {name: _checked(whose, name, one, hints[name]) for name, one in options.items()}
    missing = [n for n, one in parameters.items() if n not in options and _is_required(one)]
    if missing:
        needed = " ".join(f"--batch-set {name}=..." for name in missing)
        raise ConfigError(f"{whose} needs {', '.join(missing)}: {needed}")
    return factory(backend, **options)


def _load(path: str, *supplied: str) -> tuple[Any, dict[str, inspect.Parameter]]:
    """What a path names, and its parameters but those that are supplied."""
    module, _, name = path.partition(":")
    factory = getattr(importlib.import_module(module), name)
    parameters = inspect.signature(factory).parameters
    return factory, {name: one for name, one in parameters.items() if name not in supplied}


def _is_required(parameter: inspect.Parameter) -> bool:
    return parameter.default is inspect.Parameter.empty


def _checked(whose: str, name: str, value: object, hint: Any) -> object:
    """The value, as the constructor's annotation has it; the only check that options have.

    Raises ConfigError for another, without showing it: it may be a key.
    """
    if isinstance(value, Path):
        value = str(value)
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        words = str(error)
    words = re.sub(r"`([^`]+)`", lambda kinds: json_names(kinds[1]), words)
    words = words.replace("of length >= 1", "that is not empty")
    words = words.replace("Invalid enum value", "unknown value")
    choices = ", ".join(_choices(hint))
    known = f"; known: {choices}" if choices else ""
    raise ConfigError(f"{whose}: option {name!r}: {words}{known}")


def _choices(hint: Any) -> tuple[str, ...]:
    """The words of the Literal in an annotation; () where there is none."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return next((found for part in get_args(hint) if (found := _choices(part))), ())


def _check_names(whose: str, options: Mapping[str, Any], known: Sequence[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{whose} has no option {unknown[0]!r}; known: {', '.join(known) or 'none'}"
        )
