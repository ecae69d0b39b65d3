"""Prompts: files beside this one, rendered so that an undefined name is an error."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_FOLDER = Path(__file__).parent


def render(name: str, **values: Any) -> str:
    """The prompt `prompts/<name>.jinja` with these values, without a line break at its end.

    Raises jinja2.UndefinedError for a name in the prompt that has no value.
    """
    return _template(name).render(**values).rstrip("\n")


@cache
def _template(name: str) -> jinja2.Template:
    # Compiling takes a hundred times as long as rendering, and a run renders for every row.
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(prompt_text(name))


def prompt_text(name: str) -> str:
    """The prompt file as it is."""
    return (_FOLDER / f"{name}.jinja").read_text(encoding="utf-8")


def prompt_sha256(name: str) -> str:
    """64 hex digits for a manifest: another text is another run."""
    return hashlib.sha256(prompt_text(name).encode("utf-8")).hexdigest()


def data_text(file_name: str) -> str:
    """A data file that stands beside the prompts, such as examples of answers."""
    return (_FOLDER / file_name).read_text(encoding="utf-8")


def data_sha256(file_name: str) -> str:
    """64 hex digits for a manifest."""
    return hashlib.sha256(data_text(file_name).encode("utf-8")).hexdigest()
