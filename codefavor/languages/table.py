"""The one table of programming languages: names, fences, file extensions, grammars."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from codefavor.errors import ConfigError


@dataclass(frozen=True)
class Language:
    """One language.

    `aliases` are what fences, data sets and people call it, in lower case, its own name first.
    `grammars` are "module:function" of tree-sitter packages, tried in order. `members` are what
    to put around one method so that it can be parsed alone (none where methods parse as they
    are). `starts` is a regular expression for the first line of a program that stands in prose
    without a fence.
    """

    name: str
    title: str
    aliases: tuple[str, ...]
    extensions: tuple[str, ...]
    grammars: tuple[str, ...]
    starts: str
    members: tuple[tuple[str, str], ...] = ()
    line_comment: str = "//"


_MEMBER_OF_CLASS = (("class C {\n", "\n}"),)
_MEMBER_OF_OBJECT = (*_MEMBER_OF_CLASS, ("({\n", "\n})"))
_JAVA_STARTS = (
    r"(?:import|package) [\w.*]+;|(?:(?:public|private|protected|static|final|abstract|sealed) )+"
    r"|(?:class|interface|enum|record) \w+.*[{(]|@[A-Z]\w*"
)
_C_STARTS = (
    r"#\s*(?:include|define|ifndef|ifdef|if|pragma)\b|(?:static|inline|extern|const|unsigned|signed"
    r"|struct|enum|union|typedef|void|int|char|long|short|float|double|bool|size_t)\b.*[{;(]"
)
_JS_STARTS = (
    r"(?:export |async |default )*(?:function\b|class \w+)|(?:export )?(?:const|let|var) \S+.*="
    r"|import .*(?:from )?[\"']|[\"']use strict[\"']"
)

_ALL = (
    Language(
        "python", "Python", ("python", "py", "python3", "py3"), (".py", ".pyi"),
        ("tree_sitter_python:language",),
        r"def |async def |class |import |from \w[\w.]* import |@\w|#|\"\"\"",
        line_comment="#",
    ),
    Language(
        "javascript", "JavaScript", ("javascript", "js", "jsx", "node", "nodejs", "ecmascript"),
        (".js", ".jsx", ".mjs", ".cjs"), ("tree_sitter_javascript:language",),
        _JS_STARTS, _MEMBER_OF_OBJECT,
    ),
    Language(
        "typescript", "TypeScript", ("typescript", "ts", "tsx"), (".ts", ".tsx", ".mts", ".cts"),
        ("tree_sitter_typescript:language_typescript", "tree_sitter_typescript:language_tsx"),
        _JS_STARTS + r"|(?:export )?(?:interface|type|enum|abstract class|namespace) \w+",
        _MEMBER_OF_OBJECT,
    ),
    Language(
        "java", "Java", ("java",), (".java",), ("tree_sitter_java:language",),
        _JAVA_STARTS, _MEMBER_OF_CLASS,
    ),
    Language(
        "go", "Go", ("go", "golang"), (".go",), ("tree_sitter_go:language",),
        r"package \w+\s*$|func[ (]|import [\"(]|(?:type|var|const) \w+ .*|(?:type|var|const) \(",
    ),
    Language(
        "c", "C", ("c", "ansi-c", "c99", "c11"), (".c", ".h"), ("tree_sitter_c:language",),
        _C_STARTS,
    ),
    Language(
        "cpp", "C++", ("cpp", "c++", "cxx", "cc", "c++11", "c++17", "c++20"),
        (".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx"), ("tree_sitter_cpp:language",),
        _C_STARTS + r"|(?:template\s*<|class \w+|namespace \w*|using \w+|std::|auto ).*",
        (("class C {\n", "\n};"),),
    ),
    Language(
        "rust", "Rust", ("rust", "rs"), (".rs",), ("tree_sitter_rust:language",),
        r"(?:pub(?:\(\w+\))? )?(?:async |unsafe |const )*fn \w+"
        r"|(?:pub(?:\(\w+\))? )?(?:use|struct|enum|trait|impl|mod|const|static|type)\b.*[;{(]"
        r"|#!?\[",
        (("impl C {\n", "\n}"),),
    ),
    Language(
        "ruby", "Ruby", ("ruby", "rb"), (".rb", ".rake"), ("tree_sitter_ruby:language",),
        r"def \w+|class [A-Z]\w*|module [A-Z]\w*|require(?:_relative)? [\"']", line_comment="#",
    ),
    Language(
        "php", "PHP", ("php",), (".php",),
        ("tree_sitter_php:language_php", "tree_sitter_php:language_php_only"),
        r"<\?php|function \w+\s*\(|(?:abstract |final )*class \w+|namespace [\w\\]+;|use [\w\\]+;",
        _MEMBER_OF_CLASS,
    ),
    Language(
        "csharp", "C#", ("csharp", "c#", "cs", "c-sharp"), (".cs",),
        ("tree_sitter_c_sharp:language",), _JAVA_STARTS + r"|using [\w.]+;|namespace [\w.]+",
        _MEMBER_OF_CLASS,
    ),
    Language(
        "kotlin", "Kotlin", ("kotlin", "kt", "kts"), (".kt", ".kts"),
        ("tree_sitter_kotlin:language",),
        r"(?:(?:private|internal|public|override|suspend|inline|open|data|sealed|abstract) )*"
        r"(?:fun[ <]|class \w+|object \w+|interface \w+)|(?:import|package) [\w.]+\s*$",
    ),
    Language(
        "shell", "shell", ("shell", "bash", "sh", "zsh"), (".sh", ".bash"),
        ("tree_sitter_bash:language",), r"#!\s*/|function \w+|\w+\s*\(\)\s*\{|set -[a-z]+",
        line_comment="#",
    ),
)  # fmt: skip
LANGUAGES: Mapping[str, Language] = {language.name: language for language in _ALL}
_BY_ALIAS = {alias: language for language in _ALL for alias in language.aliases}
_BY_EXTENSION = {end: language for language in _ALL for end in language.extensions}


def find_language(name: str) -> Language | None:
    """The language of that name or alias, in any case; None if the table does not have it."""
    return _BY_ALIAS.get(name.strip().lower())


def get_language(name: str) -> Language:
    """The language of that name or alias. Raises ConfigError, which lists the known ones."""
    found = find_language(name)
    if found is None:
        raise ConfigError(f"unknown language {name!r}; known: {', '.join(LANGUAGES)}")
    return found


def language_name(name: str, path: str = "") -> str:
    """The project's name of a language, by its own word or by a path; an unknown word stays, in
    lower case."""
    known = find_language(name)
    return known.name if known else language_of_path(path) or name.strip().lower()


def language_title(name: str) -> str:
    """A language as people write it; one that the table does not have stays as it is."""
    known = find_language(name)
    return known.title if known else name


def language_of_path(path: str, code: str = "") -> str:
    """The language that a file's ending says; "" if the table does not have it.

    C and C++ share ".h": `code`, where it is given, tells them apart.
    """
    found = _BY_EXTENSION.get(PurePosixPath(path).suffix.lower())
    if found is None:
        return ""
    is_cpp = found.name == "c" and path.lower().endswith(".h") and _ONLY_CPP.search(code)
    return "cpp" if is_cpp else found.name


_ONLY_CPP = re.compile(
    r"^\s*(?:class \w|namespace\b|template\s*<|using \w|public:|private:|protected:)|\bstd::"
    r"|\bconstexpr\b|\bnullptr\b|\bvirtual\b|#include <(?:string|vector|memory|map|cstd\w+)>",
    re.MULTILINE,
)
