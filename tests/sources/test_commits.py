"""Rows of published sets of commits: read, filtered by licence and language, each once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from codefavor.errors import ConfigError, DataError
from codefavor.sources.commit_rows import Commit, CommitOptions
from codefavor.sources.commits import load_commits
from codefavor.sources.licences import (
    licence_of_header,
)
from codefavor.sources.messages import reverted_commit, says_nothing, without_people


def published(**fields: Any) -> dict[str, Any]:
    """One row with CommitPackFT's columns."""
    return {
        "commit": "a" * 40, "old_file": "tide.py", "new_file": "tide.py",
        "old_contents": "def tide(u):\n    return u\n",
        "new_contents": "def tide(u):\r\n    return u + 1\r\n",
        "subject": "Count from one", "message": "Count from one\n\nSigned-off-by: A <a@b.example>",
        "lang": "Python", "license": "MIT", "repos": "sea/tide", **fields,
    }  # fmt: skip


def read(
    tmp_path: Path, *rows: dict[str, Any], **options: Any
) -> tuple[list[Commit], Counter[str]]:
    path = tmp_path / "commits.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    skipped: Counter[str] = Counter()
    found = load_commits(str(path), options=CommitOptions(**options), skipped=skipped)
    return list(found), skipped


def test_a_published_row_becomes_a_commit_without_its_people(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, published())
    assert row.language == "python"
    assert row.message == "Count from one"
    assert row.new_code == "def tide(u):\n    return u + 1\n"
    assert (row.license, row.source, row.unit, row.commit) == ("mit", "commits", "file", "a" * 40)
    assert row == read(tmp_path, published())[0][0]
    # What it wrote it reads again, and the id stays.
    again, _ = read(tmp_path, row.to_row())
    assert again == [row]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"license": "gpl-3.0"}, "row: licence gpl-3.0"),
        ({"license": ""}, "row: licence not stated"),
        ({"old_contents": " \n\t\n"}, "row: empty"),
        ({"new_contents": ""}, "row: empty"),
        ({"lang": "COBOL", "new_file": "a.cob", "old_file": "a.cob"},
         "row: language not in the table (cobol)"),
        ({"new_contents": "def tide(u):  # u\n    return (u)\n"}, "row: only comments or layout"),
        ({"message": "", "subject": ""}, "row: message says nothing"),
        ({"new_contents": "x = 1\n" * 600}, "row: too long"),
        ({"new_contents": "x = '" + "a" * 9000 + "'"}, "row: minified"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_used_is_counted_by_reason(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    rows, skipped = read(tmp_path, published(**change))
    assert rows == []
    assert skipped == {reason: 1}


def test_duplicates_languages_and_licences_by_choice(tmp_path: Path) -> None:
    js = published(lang="JavaScript", old_contents="let a = 1", new_contents="let a = 2",
                   license="gpl-3.0", new_file="a.js")  # fmt: skip
    rows, skipped = read(tmp_path, published(), published(message="Said twice"), js)
    assert [row.language for row in rows] == ["python"]
    assert skipped == {"duplicate": 1, "row: licence gpl-3.0": 1}
    rows, skipped = read(tmp_path, published(), js, licenses=("any",), languages=("js",))
    assert [row.language for row in rows] == ["javascript"]
    assert skipped == {"row: language not asked for": 1}


def test_a_folder_of_parquet_is_read_through_datasets(tmp_path: Path) -> None:
    import pandas

    folder = tmp_path / "pack"
    folder.mkdir()
    pandas.DataFrame([published(), published(lang="Go")]).to_parquet(folder / "train.parquet")
    skipped: Counter[str] = Counter()
    rows = list(load_commits(str(folder), skipped=skipped))
    assert [row.source for row in rows] == ["pack"]
    assert skipped == {"duplicate": 1}


def test_published_sets_lie_in_the_data_folder_or_are_asked_of_the_hub(tmp_path: Path) -> None:
    folder = tmp_path / "commitpackft"
    folder.mkdir()
    (folder / "python.jsonl").write_text(json.dumps(published()) + "\n", encoding="utf-8")
    (row,) = load_commits("commitpackft:py", data_dir=tmp_path)
    assert row.source == "CommitPackFT"
    with pytest.raises(DataError, match=r"commitpackft gave nothing .*CODEFAVOR_DATA"):
        list(load_commits("commitpackft:go", data_dir=tmp_path))
    with pytest.raises(DataError, match="EditPackFT: nuprl/EditPackFT-Multi gave nothing"):
        list(load_commits("editpackft"))


def test_a_source_that_is_not_there_says_what_would_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such source of commits; known are editpackft"):
        list(load_commits(str(tmp_path / "nothing")))
    with pytest.raises(ConfigError, match="unknown language 'cobol'"):
        list(load_commits("commitpackft:cobol"))
    with pytest.raises(DataError, match=r"commits.jsonl:1: no commit: the field 'old_contents'"):
        read(tmp_path, {"code": "x"})


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Fix it\n\nReviewed-by: A B\nCc: c@d.example\nCloses #3", "Fix it\n\nCloses #3"),
        ("Thanks to @joe, it works", "it works"),
        ("Round up. Found by @a, @b and @c-d. Use @property", "Round up. Use @property"),
        ("Fix it -- thanks to Joe Deck.", "Fix it."),
        ("Closes #4 [thanks weaver]", "Closes #4"),
        ("Optimize it. [jdd, m-b]\n\nFormer-commit-id: 0a1b", "Optimize it."),
        ("Meet @joe's demands for f()", "Meet demands for f()"),
        ("Credit: Edda Sailor\nAdd _.tide by @joe, closes #1", "Add _.tide, closes #1"),
        ("Thanks to Python 3 we drop it", "Thanks to Python 3 we drop it"),
        ("Use @app.route, go get a/b@latest", "Use @app.route, go get a/b@latest"),
        ("Import @sea/tide by hand", "Import @sea/tide by hand"),
        ("Created-by: tool\nAuthor: A B\nUse the author: field", "Use the author: field"),
        ("One\r\n\r\n\r\n\r\nTwo  ", "One\n\nTwo"),
        (
            "Fix it (#4)\n\n* Test\n\n---------\n\nCo-authored-by: A <a@b.c>",
            "Fix it (#4)\n\n* Test",
        ),
        ("Name\n-----\nText", "Name\n-----\nText"),
    ],
)
def test_messages_lose_people_and_keep_the_rest(message: str, kept: str) -> None:
    assert without_people(message, "@property") == kept


def test_messages_that_say_nothing() -> None:
    nothing = ("", "WIP", "fix.", "Fix typo", "update!", "Release 7.3.3", "v2.0", "Version 1.0.1")
    assert all(says_nothing(message) for message in (*nothing, "Bump version to 1.2.dev0"))
    said = (
        "Fix off by one",
        "wip\n\nRound up, not down",
        "Release 2 locks",
        "Bump numpy to 1.2 now",
    )
    assert not any(says_nothing(message) for message in said)


def test_reverts_are_recognised_in_the_forms_that_tools_write() -> None:
    sha = "0123456789abcdef0123456789abcdef01234567"
    assert reverted_commit(f'Revert "Round up"\n\nThis reverts commit {sha}.') == (sha, "Round up")
    assert reverted_commit('Revert "Round up (#12)" (#13)') == ("", "Round up (#12)")
    assert reverted_commit('Revert "Round "up""') == ("", 'Round "up"')
    assert reverted_commit("Undo\n\nthis reverts 0123456") == ("0123456", "")
    assert reverted_commit("Revert to the old gauge") is None
    assert reverted_commit("Let users revert a commit") is None


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("# This library is free software; you can redistribute it under the\n# terms of the GNU "
         "Lesser General Public\n# License\n", "lgpl"),
        ('"""\nrequests.x\n:license: ISC, see LICENSE for more details.\n"""\n', "isc"),
        ("/*!\n * express\n * MIT Licensed\n */\n'use strict';", "mit"),
        ("/*!\n * jQuery v1.5\n * Dual licensed under the MIT or GPL Version 2 licenses.\n */",
         "gpl or mit"),
        ("//     Underscore.js 1.1\n// is freely distributable under the MIT license.\n", "mit"),
        ("// Licensed under the Apache License, Version 2.0 (the 'License')\n", "apache-2.0"),
        ("/* SPDX-License-Identifier: GPL-3.0-only */\n", "gpl-3.0-only"),
        ("# License: see LICENSE\n", ""),
        ("x = 1\n# License: GPL\n", ""),
    ],
)  # fmt: skip
def test_a_file_states_its_licence_in_its_first_comments(head: str, licence: str) -> None:
    assert licence_of_header(head) == licence


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("Fix the parser. Thanks acasajus.", "Fix the parser."),
        ("Fix it\n\nThanks e1ch1 (IRC)", "Fix it"),
        ("Add x. Thanks to Damian (d at example dot org)", "Add x."),
        ("Thanks apex200 and Ann Neves\n\nFix it", "Fix it"),
        ("Fix it [by Max Mustermann, see https://a.example/4]", "Fix it"),
        ("Fix it, by Max Mustermann, see https://a.example/4", "Fix it, see https://a.example/4"),
        ("Fix it. By Jane Doe.", "Fix it."),
        ("Sort rows by Last Name", "Sort rows by Last Name"),
        ("Add a thanks page", "Add a thanks page"),
        ("Say thanks(user) in the footer", "Say thanks(user) in the footer"),
    ],
)
def test_sentences_of_thanks_leave_the_message(message: str, kept: str) -> None:
    assert without_people(message) == kept
