"""What the project knows of programming languages: names, syntax, comments, units.

Python is read by its own compiler and needs nothing else; the other languages by tree-sitter
with one grammar package each (`pip install 'codefavor[languages]'`), loaded at first use.
"""

from codefavor.languages.comments import (
    Stripped,
    normalised_tokens,
    parses,
    strip_both,
    strip_comments,
)
from codefavor.languages.table import (
    LANGUAGES,
    Language,
    find_language,
    get_language,
    language_name,
    language_of_path,
    language_title,
)
from codefavor.languages.units import Outline, Unit, functions_and_classes

__all__ = [
    "LANGUAGES",
    "Language",
    "Outline",
    "Stripped",
    "Unit",
    "find_language",
    "functions_and_classes",
    "get_language",
    "language_name",
    "language_of_path",
    "language_title",
    "normalised_tokens",
    "parses",
    "strip_both",
    "strip_comments",
]
