"""What the project knows of programming languages: names, syntax, comments, units.

Programs to run are read by what runs them: Python by its own compiler, which needs nothing else.
Other languages, and the functions of any repository, are read by tree-sitter with one grammar
package each (`pip install 'codefavor[languages]'`), loaded at first use.
"""

from codefavor.languages.comments import (
    Stripped,
    grammar_tokens,
    has_same_tokens,
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
    "grammar_tokens",
    "has_same_tokens",
    "language_name",
    "language_of_path",
    "language_title",
    "normalised_tokens",
    "parses",
    "strip_both",
    "strip_comments",
]
