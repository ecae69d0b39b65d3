"""Which licence a text, a file or a repository states, as an SPDX name in lower case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from codefavor.sources.licence_texts import OTHER, has_rider, permissive_licence

# What we keep by default: they ask for no more than their text and the names beside the code.
PERMISSIVE = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "isc")
LICENCE_FILE = re.compile(
    r"^(?:licen[cs]e|copying|unlicense|mit-license)(?:[-_.][\w.-]*)?$", re.IGNORECASE
)
# Where a project names its licence in words.
MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py", "package.json", "Cargo.toml", "PKG-INFO",
             "composer.json")  # fmt: skip

_SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+\-() ]+)")
# Texts that are not permissive, by their titles: the first one counts, of two at once the upper.
_TITLES = (
    ("agpl-3.0", r"gnu affero general public license"),
    ("lgpl", r"gnu (?:lesser|library) general public license"),
    ("gpl", r"gnu general public license"),
    ("mpl-2.0", r"mozilla public license,?\s*(?:version|v\.?)\s*2\.0"),
    ("epl-2.0", r"eclipse public license"),
    ("cc0-1.0", r"cc0 1\.0|creative commons zero"),
    ("unlicense", r"this is free and unencumbered software"),
)
# Characters in which a text says what it is.
_TITLE_WITHIN = 1000
# Whose licence a file is by what its name says: LICENSE-MIT is one to choose, LICENSE-THIRD-PARTY
# is of what lies beside.
_OF_OTHERS = re.compile(r"third|3rd|bundled|vendor|depend|notice", re.IGNORECASE)
_BY_NAME = re.compile(
    r"^mit-|[-_.](?:apache|mit|bsd|isc|[al]?gpl|mpl|epl|cc0|unlicense|psf|zlib|boost|afl)",
    re.IGNORECASE,
)
_NAMES = (
    (r"apache(?: software)?(?: license)?,?(?: version)?[ -]?(?:v|2)", "apache-2.0"),
    (r"(?:new |modified |revised )?bsd[ -]3|bsd-3-clause|new bsd", "bsd-3-clause"),
    (r"bsd[ -]2|simplified bsd", "bsd-2-clause"),
    (r"\bagpl", "agpl-3.0"),
    (r"\blgpl", "lgpl"),
    (r"\bgpl|gnu general", "gpl"),
    (r"\bmpl|mozilla", "mpl-2.0"),
    (r"\bisc\b", "isc"),
    (r"\bmit\b|\bexpat\b", "mit"),
    (r"\bbsd\b", "bsd"),
    (r"python software foundation|\bpsf\b", "psf-2.0"),
    (r"\bzlib\b", "zlib"),
    (r"\bboost software\b", "bsl-1.0"),
    (r"\bcc[- ]by|creative commons attribution", "cc-by"),
    (r"public domain", "public domain"),
    (r"\bwtfpl\b", "wtfpl"),
)
# Words that a name may have besides.
_FILLER_WORDS = """
    the a an license licence licenses version v only or later clause style new modified revised
    simplified software of public general gnu lesser affero terms osi approved expat international
    january foundation s"""
_FILLERS = frozenset(_FILLER_WORDS.split())
_COPYLEFT = "|".join(f"(?:{one})" for _, one in _TITLES)
_NAMED = re.compile(
    r"""^\s*["']?license(?:-expression)?["']?\s*[:=]\s*(?:\{\s*(?:text|type|"type")\s*[:=]\s*)?"""
    r"""["']?(?P<name>[^"'\n},]+)|License :: OSI Approved :: (?P<classifier>[^"'\n,]+)""",
    re.MULTILINE | re.IGNORECASE,
)


# A file begins so: blank lines, comments and texts in quotes, what opens a module of JavaScript.
_HEADER = re.compile(
    r"""\A(?:\s+|\#.*|//.*|--.*|/\*.*?\*/|[ru]?\"{3}.*?\"{3}|[ru]?'{3}.*?'{3}|<\?php"""
    r"""|["']use\ strict["'];?|;?\(function\s*\([\w, ]*\)\s*\{)+""".replace(".*?", "[\\s\\S]*?")
)
_MAX_HEADER = 10_000
# "Licensed under the terms of the MIT license", ":license: ISC, see LICENSE", "MIT Licensed".
_STATED = re.compile(
    r"(?:licen[cs]ed?|released|distribut\w+|available|provided|covered|governed)"
    r"[^.;]{0,40}?\b(?:under|by)\b(?P<under>[^;]{0,120})"
    r"|\blicen[cs]es?\s*:+\s*(?P<named>[^;]{0,60})|\b(?P<before>[\w.-]+) licen[cs]ed\b(?! under)",
    re.IGNORECASE,
)


def licence_of_text(text: str) -> str:
    """The licence that a text is; "other" for what has riders, or much besides, or is none of ours;
    "" for a few words that are none. GPL names carry no version."""
    whole = permissive_licence(text)
    if whole not in ("", OTHER):
        return whole
    flat = " ".join(text.lower().split())
    head = flat[:_TITLE_WITHIN]
    found = [
        (match.start(), n)
        for n, (_, one) in enumerate(_TITLES)
        if (match := re.search(one, head)) and not has_rider(flat)
    ]
    if found:
        return _TITLES[min(found)[1]][0]
    # Of a few words, the name of a licence alone.
    return whole or ("" if (named := _licence_of_name(flat)) == OTHER else named)


def licence_of_header(code: str) -> str:
    """What the comments at the head of a source file state; "" if nothing.

    An SPDX line, the words of a licence, or a sentence that names one or several.
    """
    head = _HEADER.match(code[:_MAX_HEADER])
    if head is None or not re.search(r"licen[cs]e|permission|redistribution", head[0], re.I):
        return ""
    spdx = _SPDX.search(head[0])
    if spdx:
        return spdx[1].split("*/")[0].strip().lower()
    words = re.sub(r"^[\s#/*;!-]+", " ", head[0], flags=re.MULTILINE)
    text = " ".join(words.lower().split())
    titled = re.search(_COPYLEFT, text)
    whole = permissive_licence(words, among_others=True)
    if whole and not (titled and whole == OTHER):
        return whole
    if titled:
        return next(name for name, one in _TITLES if re.fullmatch(one, titled[0]))
    for match in _STATED.finditer(text):
        stated = match["under"] or match["named"] or match["before"] or ""
        stated = re.sub(r", (?=v\w*\W?\s*\d)", " ", stated)
        named = {_named_in(part) for part in re.split(r"\bor\b|\band\b|[/,&]", stated)}
        if named != {""}:
            return " or ".join(sorted(named - {""}))
    return ""


def licence_of_file(header: str, around: str) -> str:
    """The licence of a file from its own header and from what applies around it."""
    # "BSD" and "GPL" in a header say less than the text that they mean.
    return around if around.startswith(header) else header


def licence_of_manifest(text: str) -> str:
    """The licence that a project file names; "" if it names none that is known."""
    for match in _NAMED.finditer(text):
        name = (match["name"] or match["classifier"]).strip().lower()
        found = {_licence_of_name(part) for part in re.split(r"\s+or\s+|\s*/\s*", name)}
        if found != {""}:
            return " or ".join(sorted(found - {""}))
    return ""


def _licence_of_name(name: str) -> str:
    """The licence of a name; "other" if more is said than that; "" for an unknown name."""
    if has_rider(name):
        return OTHER
    for pattern, licence in _NAMES:
        if match := re.search(pattern, name):
            rest = re.findall(r"[a-z]+", name[: match.start()] + " " + name[match.end() :])
            return licence if _FILLERS.issuperset(rest) else OTHER
    return ""


def _named_in(sentence: str) -> str:
    return next((licence for pattern, licence in _NAMES if re.search(pattern, sentence)), "")


def licence_of_files(files: Mapping[str, str]) -> str:
    """The licence of a project from its root files (name to text).

    Licence texts first: files that are named for a licence each are a choice (" or "), all others
    hold together (" and "). Then what the project files name. "" if nothing says.
    """
    stated: dict[str, str] = {}
    for name in sorted(files):
        if LICENCE_FILE.match(name) and not _OF_OTHERS.search(name):
            found = licence_of_text(files[name]) or licence_of_header(files[name])
            if found:
                stated[name] = found
    if stated:
        is_choice = all(_BY_NAME.search(name) for name in stated)
        return (" or " if is_choice else " and ").join(sorted(set(stated.values())))
    for name in MANIFESTS:
        if name in files:
            named = licence_of_manifest(files[name])
            if named:
                return named
    return ""


def is_allowed(licence: str, allowed: Sequence[str]) -> bool:
    """Whether one alternative of a licence is allowed; all are if `allowed` is empty or "any"."""
    if not allowed or "any" in allowed:
        return True
    wanted = {name.lower() for name in allowed}
    choices = re.split(r"\s+or\s+|/", licence.lower().strip("() "))
    return any(set(re.split(r"\s+and\s+", choice.strip("() "))) <= wanted for choice in choices)
