"""`codefavor mine` writes the rows of several repositories and says what it left out."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import ConfigError, DataError
from codefavor.records import read_rows
from codefavor.sources.commits import load_commits
from tests.sources.repository import MIT, Repo


def repository(folder: Path, licence: str = MIT) -> Path:
    repo = Repo(folder, licence)
    repo.commit("Add it", {"a.py": "def f():\n    return 1\n", "b.go": "package b\n"})
    repo.commit("Return two of them", {"a.py": "def f():\n    return 2\n"})
    repo.commit(f"Name the {folder.name}", {"a.py": f"def f():\n    return {folder.name!r}\n"})
    return folder


def run(*words: object) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(app, ["mine", *map(str, words)])
    return done.output, done.exception


def test_many_repositories_give_one_file_and_one_table(tmp_path: Path) -> None:
    one, two = (repository(tmp_path / name) for name in ("sea", "lake"))
    out = tmp_path / "rows.jsonl"
    shown, error = run(one, two, "--out", out)
    assert error is None
    rows = [row for _, row in read_rows(out)]
    # The change that both made is one row.
    assert [(row["source"], row["message"]) for row in rows] == [
        ("sea", "Name the sea"), ("sea", "Return two of them"), ("lake", "Name the lake"),
    ]  # fmt: skip
    table = [line.split() for line in shown.splitlines()]
    assert table[:2] == [["sea", "lake", "all"], ["rows", "2", "1", "3"]]
    assert ["duplicate", "0", "1", "1"] in table
    (manifest,) = (row for _, row in read_rows(tmp_path / "rows.jsonl.manifest.json"))
    assert manifest["counts"][str(two)] == {"rows": 1, "duplicate": 1, "file: added": 3}
    # And its file is a source of commits.
    assert [row.id for row in load_commits(str(out))] == [row["id"] for row in rows]


def test_one_repository_without_leave_does_not_cost_the_others(tmp_path: Path) -> None:
    good = repository(tmp_path / "sea")
    bad = repository(tmp_path / "lake", "GNU GENERAL PUBLIC LICENSE\n")
    out = tmp_path / "rows.jsonl"
    shown, error = run(bad, good, "--out", out)
    assert isinstance(error, DataError)
    assert str(error).endswith(str(bad))
    assert "its licence is gpl" in shown
    assert len(out.read_text().splitlines()) == 2


def test_a_password_in_a_url_is_kept_nowhere(tmp_path: Path) -> None:
    url = "http://joe:hunter22@127.0.0.1:9/sea.git"
    good, out = repository(tmp_path / "sea"), tmp_path / "rows.jsonl"
    shown, error = run(url, good, "--out", out)
    manifest = (tmp_path / "rows.jsonl.manifest.json").read_text()
    for text in (shown, str(error), manifest):
        assert "127.0.0.1" in text
        assert "hunter22" not in text


def test_every_option_reaches_the_source(tmp_path: Path) -> None:
    repo = repository(tmp_path / "sea")
    out = tmp_path / "rows.jsonl"
    run(repo, "--out", out, "--units", "file", "--path", "a.py", "--languages", "go,python")
    assert {row["unit"] for _, row in read_rows(out)} == {"file"}
    for given in (["--author", "joe"], ["--max-lines", "1"], ["--until", "2020-01-01"]):
        shown, error = run(repo, "--out", out, *given)
        assert isinstance(error, ConfigError), given
        assert shown.splitlines()[1].split() == ["rows", "0"]
    assert "--since '2020' is no day" in str(run(repo, "--since", "2020")[1])
    run(repo, "--out", out)
    error = run(out, "--out", tmp_path / "again.jsonl", "--ref", "v1")[1]
    assert "--ref is for git repositories" in str(error)
