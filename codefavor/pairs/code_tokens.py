"""Code as a string of one character a token, so that a likeness is one of tokens.

A token that is written differently is another character; comments and white space are none.
Far cheaper than a grammar, and good enough for every language: it only has to be the same for
both sides of a comparison.
"""

from __future__ import annotations

import builtins
import keyword
import re
import zlib

from codefavor.languages import find_language

_STRINGS = r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"
_CODE = r"[^\W\d]\w*|\d[\w.]*|\*\*=?|//=?|[-+*/%&|^!=<>:]=|->|=>|&&|\|\||<<|>>|::|\S"
_HASH = re.compile(rf"(?P<comment>#[^\n]*)|{_STRINGS}|{_CODE}", re.DOTALL)
_SLASH = re.compile(rf"(?P<comment>//[^\n]*|/\*.*?\*/)|{_STRINGS}|{_CODE}", re.DOTALL)
# Words that are the language's or everybody's: no program's own names.
_WORDS = """
auto bool boolean byte case catch char chan const constructor console crate debug default defer
delete do double else elsif end enum export extends extern false final float fn foreach fmt foo func
function go goto if impl implements import in include int interface let loop long map match mod
module mut namespace new nil null number object override package println private protected pub
public ref require return self short signed size_t static std string String struct super switch
template this throw throws trait true try type typedef typename typeof undefined unless unsigned
until use using val var vec Vec void virtual volatile where while yield vector
"""
COMMON = frozenset([*keyword.kwlist, *dir(builtins), *_WORDS.split()])
# The private planes and what lies before them: no surrogate is in this range.
_FIRST, _SPAN = 0xE000, 0x10FFFF - 0xE000


def token_string(code: str, language: str = "python") -> str:
    """The code as one character a token, comments left out."""
    return "".join(map(_character, tokens_of(code, language)))


def tokens_of(code: str, language: str = "python") -> list[str]:
    """The tokens of a code, comments left out."""
    known = find_language(language)
    pattern = _HASH if known is not None and known.line_comment == "#" else _SLASH
    return [m.group() for m in pattern.finditer(code) if not m["comment"]]


def _character(token: str) -> str:
    found = _SEEN.get(token)
    if found is None:
        found = chr(_FIRST + zlib.crc32(token.encode("utf-8", "replace")) % _SPAN)
        # Bounded: literals of a large file would otherwise stay for ever.
        if len(_SEEN) < 200_000:
            _SEEN[token] = found
    return found


_SEEN: dict[str, str] = {}
