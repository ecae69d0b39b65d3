"""What must hold of every pair before anything is run: both sides are programs, and differ."""

from __future__ import annotations

from codefavor.errors import Rejected
from codefavor.languages import find_language, normalised_tokens, parses
from codefavor.records import Row


def check_pair(chosen: str, rejected: str, language: str) -> Row:
    """The evidence of the static checks.

    Raises Rejected: `empty_code:<side>`, `does_not_parse:<side>`, or `identical_codes` for codes
    that differ in comments and formatting at most. A language without a reader is compared word
    by word and its evidence says so (`reader` "none").
    """
    known = find_language(language)
    sides = {"chosen": chosen, "rejected": rejected}
    for side, code in sides.items():
        if not code.strip():
            raise Rejected(f"empty_code:{side}")
        if known is not None and not parses(code, known.name):
            raise Rejected(f"does_not_parse:{side}", f"not {known.title}")
    if normalised_tokens(chosen, language) == normalised_tokens(rejected, language):
        raise Rejected("identical_codes", "they differ in comments and formatting at most")
    reader = "none" if known is None else "python" if known.name == "python" else "tree-sitter"
    return {"parses": None if known is None else True, "reader": reader, "same_tokens": False}
