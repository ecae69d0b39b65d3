"""What a process that runs many shards of one run makes once: loaded models, hashes of files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_kept: dict[object, Any] | None = None


def keep() -> None:
    """From now on, this process makes each thing once, and never lets go of it."""
    global _kept  # noqa: PLW0603 - it is the process that keeps
    _kept = {} if _kept is None else _kept


def once(key: object, make: Callable[[], T]) -> T:
    """What is kept under this key, made now where there is none; always made unless `keep`."""
    if _kept is None:
        return make()
    if key not in _kept:
        _kept[key] = make()
    found: T = _kept[key]
    return found
