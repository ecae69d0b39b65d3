"""Which licence a text, a file or a repository states, as an SPDX name in lower case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# What the rows of CommitPackFT were filtered by, and what we keep by default.
PERMISSIVE = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause")
LICENCE_FILE = re.compile(
    r"^(?:licen[cs]e|copying|unlicense|mit-license)(?:[-_.][\w.-]*)?$", re.IGNORECASE
)
# Where a project names its licence in words.
MANIFESTS = ("pyproject.toml", "setup.cfg", "setup.py", "package.json", "Cargo.toml", "PKG-INFO",
             "composer.json")  # fmt: skip

_SPDX = re.compile(r"SPDX-License-Identifier:\s*([\w.+\-() ]+)")
# The first that matches counts: a longer licence may quote a shorter one's words.
_TEXTS = (
    ("agpl-3.0", r"gnu affero general public license"),
    ("lgpl", r"gnu (?:lesser|library) general public license"),
    ("gpl", r"gnu general public license"),
    ("apache-2.0", r"apache license,?\s*version 2\.0"),
    ("mpl-2.0", r"mozilla public license,?\s*(?:version|v\.?)\s*2\.0"),
    ("epl-2.0", r"eclipse public license"),
    ("cc0-1.0", r"cc0 1\.0|creative commons zero"),
    ("unlicense", r"this is free and unencumbered software"),
    ("bsd-3-clause", r"redistribution and use in source and binary forms.*neither the names? of"),
    ("bsd-2-clause", r"redistribution and use in source and binary forms"),
    ("isc", r"permission to use, copy, modify, and(?:/or)? distribute this software for any"),
    ("mit", r"permission is hereby granted, free of charge, to any person obtaining a copy"),
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
    (r"\bmit\b", "mit"),
)
_NAMED = re.compile(
    r"""^\s*["']?license(?:-expression)?["']?\s*[:=]\s*(?:\{\s*(?:text|type|"type")\s*[:=]\s*)?"""
    r"""["']?(?P<name>[^"'\n},]+)|License :: OSI Approved :: (?P<classifier>[^"'\n,]+)""",
    re.MULTILINE | re.IGNORECASE,
)


def licence_of_text(text: str) -> str:
    """The licence whose words a text has; "" for none that is known. GPL names carry no version."""
    flat = " ".join(text.lower().split())
    for name, pattern in _TEXTS:
        if re.search(pattern, flat):
            return name
    return ""


def licence_of_header(code: str) -> str:
    """The SPDX line in the first lines of a source file, in lower case; "" without one."""
    found = _SPDX.search("\n".join(code.split("\n", 30)[:30]))
    return found[1].split("*/")[0].strip().lower() if found else ""


def licence_of_manifest(text: str) -> str:
    """The licence that a project file names; "" if it names none that is known."""
    for match in _NAMED.finditer(text):
        name = (match["name"] or match["classifier"]).strip().lower()
        found = {_licence_of_name(part) for part in re.split(r"\s+or\s+|\s*/\s*", name)}
        if found != {""}:
            return " or ".join(sorted(found - {""}))
    return ""


def _licence_of_name(name: str) -> str:
    return next((licence for pattern, licence in _NAMES if re.search(pattern, name)), "")


def licence_of_files(files: Mapping[str, str]) -> str:
    """The licence of a project from its root files (name to text).

    Licence texts first: two different ones (a choice) are joined by " or ". Then what the
    project files name. "" if nothing says.
    """
    texts = sorted(name for name in files if LICENCE_FILE.match(name))
    found = [licence_of_text(files[name]) or licence_of_header(files[name]) for name in texts]
    stated = sorted({name for name in found if name})
    if stated:
        return " or ".join(stated)
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
