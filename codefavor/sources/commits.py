"""Commits by name: EditPackFT, CommitPackFT, any git repository, or a file of your own.

Source: EditPackFT (nuprl/EditPackFT-Multi) and CommitPackFT (bigcode/commitpackft), both on the
Hugging Face Hub, whose rows carry the licence of the repository they come from.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from codefavor.errors import ConfigError, DataError
from codefavor.languages import (
    LANGUAGES,
    find_language,
    get_language,
    grammar_tokens,
    language_name,
)
from codefavor.records import Row, read_rows
from codefavor.sources.commit_rows import OF_HISTORIES, Commit, CommitOptions, make_commit
from codefavor.sources.file_kinds import content_problem
from codefavor.sources.git_history import mine_repository
from codefavor.sources.git_log import clone, is_url
from codefavor.sources.licences import is_allowed
from codefavor.sources.locate import Location, locate_rows
from codefavor.sources.messages import says_nothing, without_people

NAMES = ("editpackft", "commitpackft")
CACHE = Path("~/.cache/codefavor/git")
EDITPACKFT = Location(
    "EditPackFT", "editpackft/train.jsonl", "nuprl/EditPackFT-Multi", "by row", splits=("train",)
)
# The names of CommitPackFT's folders where they differ from ours.
_FOLDERS = {"cpp": "c++", "csharp": "c#"}


def load_commits(
    spec: str,
    *,
    options: CommitOptions | None = None,
    skipped: Counter[str] | None = None,
    data_dir: Path | None = None,
    cache: Path = CACHE,
    seen: set[int] | None = None,
) -> Iterator[Commit]:
    """The commits of a source, in its own order, each change once; a stream, never a list.

    `spec` is "editpackft", "commitpackft", one of them with languages ("commitpackft:go,rust"),
    a path or URL of a git repository (a URL is cloned below `cache` once), a folder that
    `datasets` reads, or a JSONL file of rows of ours or with CommitPackFT's columns. `skipped`
    is filled with what was left out, by reason, while the commits are read; `seen` with the
    changes, so that no other source given the same set repeats one. Raises DataError for a
    source that is not there, saying what would be, and ConfigError for an option that it does
    not have.
    """
    chosen = options or CommitOptions()
    names = chosen.languages
    name, _, languages = spec.partition(":")
    if name in NAMES and languages:
        names = tuple(languages.split(","))
    # An empty part of a list would otherwise be an unknown language of no name.
    chosen = replace(chosen, languages=tuple(get_language(n).name for n in names if n.strip()))
    counter = Counter[str]() if skipped is None else skipped
    rows = _read(spec, chosen, counter, data_dir, cache)
    return _without_duplicates(rows, counter, set() if seen is None else seen)


def _read(
    spec: str, options: CommitOptions, skipped: Counter[str], data_dir: Path | None, cache: Path
) -> Iterator[Commit]:
    name = spec.partition(":")[0]
    if name == "editpackft":
        yield from _of_rows(locate_rows(EDITPACKFT, data_dir), "EditPackFT", options, skipped)
    elif name == "commitpackft":
        for language in options.languages or tuple(LANGUAGES):
            rows = locate_rows(_commitpackft(language), data_dir)
            yield from _of_rows(rows, "CommitPackFT", options, skipped)
    elif is_url(spec):
        folder = clone(spec, cache.expanduser())
        yield from mine_repository(folder, options=options, skipped=skipped)
    else:
        yield from _of_path(Path(spec).expanduser(), options, skipped)


def _of_path(path: Path, options: CommitOptions, skipped: Counter[str]) -> Iterator[Commit]:
    if path.is_file():
        yield from _of_rows(read_rows(path), path.stem, options, skipped)
    elif (path / ".git").exists() or (path / "HEAD").is_file():
        yield from mine_repository(path, options=options, skipped=skipped)
    elif path.is_dir():
        location = Location(path.name, "", str(path), "by row", splits=("train",))
        yield from _of_rows(locate_rows(location, None), path.name, options, skipped)
    else:
        raise DataError(
            f"{path}: no such source of commits; known are {', '.join(NAMES)}, a path or URL of a "
            f"git repository, a folder that `datasets` reads, and a JSONL file"
        )


def _commitpackft(language: str) -> Location:
    folder = _FOLDERS.get(language, language)
    return Location(
        f"CommitPackFT ({language})",
        f"commitpackft/{language}.jsonl",
        "bigcode/commitpackft",
        "by row",
        splits=("train",),
        # Its loading script is refused by today's `datasets`; the files themselves are not.
        data_files=f"data/{folder}/data.jsonl",
    )


def _of_rows(
    rows: Iterator[tuple[str, Row]], source: str, options: CommitOptions, skipped: Counter[str]
) -> Iterator[Commit]:
    given = [
        name for name in OF_HISTORIES if getattr(options, name) != getattr(CommitOptions, name)
    ]
    if given:
        raise ConfigError(f"--{given[0]} is for git repositories; {source} is a file of rows")
    for where, row in rows:
        commit = _own_row(row, where) if "old_code" in row else _published_row(row, where, source)
        reason = _problem(commit, options)
        if reason:
            skipped[f"row: {reason}"] += 1
        else:
            yield commit


def _own_row(row: Row, where: str) -> Commit:
    # An id of its own is kept: other files may name it.
    commit = Commit.from_row({"id": "-", **row}, where)
    fields = {key: value for key, value in commit.to_row().items() if key != "id"}
    language = language_name(commit.language, commit.path)
    made = make_commit(**{**fields, "language": language})
    return made if commit.id == "-" else replace(made, id=commit.id)


def _published_row(row: Row, where: str, source: str) -> Commit:
    """A row with the columns of CommitPackFT: old_contents, new_contents, message, ..."""
    missing = [key for key in ("old_contents", "new_contents") if not isinstance(row.get(key), str)]
    if missing:
        raise DataError(
            f"{where}: no commit: the field {missing[0]!r} is missing; needed are old_contents and "
            f"new_contents (or old_code and new_code); found {', '.join(sorted(row))}"
        )
    path = str(row.get("new_file") or row.get("old_file") or "")
    return make_commit(
        language=language_name(str(row.get("lang") or ""), path),
        path=path,
        message=without_people(
            str(row.get("message") or row.get("subject") or ""),
            row["old_contents"] + row["new_contents"],
        ),
        old_code=row["old_contents"].replace("\r\n", "\n"),
        new_code=row["new_contents"].replace("\r\n", "\n"),
        source=source,
        license=str(row.get("license") or "").lower(),
        commit=str(row.get("commit") or ""),
    )


def _problem(commit: Commit, options: CommitOptions) -> str:
    """Why a row of a data set is left out; "" if it is not."""
    language = find_language(commit.language)
    if language is None:
        return f"language not in the table ({commit.language or 'none'})"
    if options.languages and language.name not in options.languages:
        return "language not asked for"
    if not is_allowed(commit.license, options.licenses):
        return f"licence {commit.license or 'not stated'}"
    for code in (commit.old_code, commit.new_code):
        problem = content_problem(code)
        if problem:
            return problem
        if code.count("\n") > options.max_file_lines or len(code) > options.max_file_bytes:
            return "too long"
    if says_nothing(commit.message):
        return "message says nothing"
    old, new = (
        grammar_tokens(code, language.name) or tuple(code.split())
        for code in (commit.old_code, commit.new_code)
    )
    if old == new:
        return "only comments or layout"
    return ""


def _without_duplicates(
    commits: Iterator[Commit], skipped: Counter[str], seen: set[int]
) -> Iterator[Commit]:
    """Each change once: cherry-picks, copies and rows of two data sets have the same two codes."""
    for commit in commits:
        digest = hashlib.sha256(f"{commit.old_code}\0{commit.new_code}".encode("utf-8", "replace"))
        key = int.from_bytes(digest.digest()[:8], "big")
        if key in seen:
            skipped["duplicate"] += 1
            continue
        seen.add(key)
        yield commit
