"""Where our own settings of the environment point: the folder of public data, and the caches."""

from __future__ import annotations

import os
from pathlib import Path

DATA_VARIABLE = "CODEFAVOR_DATA"


def data_folder() -> Path | None:
    """The folder of public data that CODEFAVOR_DATA names; None means: ask the Hub."""
    folder = os.environ.get(DATA_VARIABLE)
    return Path(folder) if folder else None


def default_cache() -> Path:
    """The file of cached responses under $XDG_CACHE_HOME or ~/.cache."""
    return _cache_folder() / "responses.sqlite"


def answers_folder() -> Path:
    """The folder of what references answer, beside the cached responses."""
    return _cache_folder() / "answers"


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "codefavor"
