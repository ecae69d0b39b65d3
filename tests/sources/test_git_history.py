"""A git history becomes rows: what is a change to one function is kept, all else is counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from codefavor.errors import DataError
from codefavor.records import write_rows
from codefavor.sources.commit_rows import Commit, CommitOptions
from codefavor.sources.commits import load_commits
from codefavor.sources.file_kinds import content_problem, path_problem
from codefavor.sources.git_history import mine_repository
from tests.sources.repository import Repo


def tide(body: str, extra: str = "") -> str:
    """A module with one function and a class around it."""
    return (
        "import math\nimport os\n\n\ndef round_up(x):\n    return math.ceil(x)\n\n\n"
        f"class Gauge:\n    unit = 'cm'\n\n    def read(self, u):\n        {body}\n{extra}"
    )


OLD, NEW = "return u", "return round_up(u) + math.pi"


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "sea")
    made.commit("Add the gauge", {"sea/tide.py": tide(OLD)})
    return made


def mine(repo: Repo, **options: object) -> tuple[list[Commit], Counter[str]]:
    skipped: Counter[str] = Counter()
    chosen = CommitOptions(**options)  # type: ignore[arg-type]
    return list(load_commits(str(repo.folder), options=chosen, skipped=skipped)), skipped


def test_a_changed_method_is_one_row_with_its_surroundings_and_nobodys_name(repo: Repo) -> None:
    message = (
        "Round readings up\n\nStaff asked for it, see mail of joe@harbour.example.\n\n"
        "Signed-off-by: Joe Deck <joe@harbour.example>\nCo-authored-by: A B <a@b.example>\n"
    )
    sha = repo.commit(message, {"sea/tide.py": tide(NEW)})
    (row,), skipped = mine(repo)
    assert (row.language, row.path, row.unit, row.name) == (
        "python", "sea/tide.py", "function", "Gauge.read",
    )  # fmt: skip
    assert row.old_code == f"def read(self, u):\n    {OLD}\n"
    assert row.new_code == f"def read(self, u):\n    {NEW}\n"
    assert row.context == "import math\nclass Gauge:\ndef round_up(x):"
    assert row.message == "Round readings up\n\nStaff asked for it, see mail of."
    assert (row.license, row.source, row.commit) == ("mit", "sea", sha)
    assert "Sailor" not in str(row.to_row())
    assert "harbour.example" not in str(row.to_row())
    assert skipped == {"file: added": 2}


def test_the_same_history_gives_the_same_rows_from_a_clone_too(repo: Repo, tmp_path: Path) -> None:
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    repo.commit("Count from one", {"sea/tide.py": tide(NEW + " + 1")})
    rows, _ = mine(repo)
    assert [row.message for row in rows] == ["Count from one", "Round readings up"]
    url = repo.folder.as_uri()
    cache = tmp_path / "cache"
    for _ in range(2):
        cloned = list(load_commits(url, cache=cache))
        assert [row.id for row in cloned] == [row.id for row in rows]
        assert {row.source for row in cloned} == {"sea"}
    assert len(list(cache.iterdir())) == 1
    assert [row.id for row in load_commits(str(next(cache.iterdir())))] == [r.id for r in rows]


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://joe:hunter22@Example.org:8443/sea/tide.git/?token=abc", "example.org/sea/tide"),
        ("git@example.org:sea/tide.git", "example.org/sea/tide"),
        ("ssh://git@example.org:22/sea/deep/tide", "example.org/sea/deep/tide"),
        ("file:///home/joe/tide.git", "tide"),
        ("/home/joe/tide/.git", "tide"),
        ("", "repo"),
    ],
)
def test_a_repository_is_called_what_its_remote_is_not_its_folder(
    tmp_path: Path, remote: str, name: str
) -> None:
    repo = Repo(tmp_path / "repo")
    repo.commit("Add it", {"sea/tide.py": tide(OLD)})
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    if remote:
        repo.git("remote", "add", "origin", remote)
    for folder in (repo.folder, repo.folder / ".git"):
        assert [row.source for row in load_commits(str(folder))] == [name]


def test_one_of_several_of_a_name_is_not_taken_for_another(repo: Repo) -> None:
    def reads(*values: int) -> str:
        return "".join(f"if PLACE == {n}:\n    def read():\n        return {n}\n" for n in values)

    repo.commit("Read two", {"sea/read.py": reads(1, 2)})
    repo.commit("Read a third", {"sea/read.py": reads(3, 1, 2)})
    repo.commit("Drop the first", {"sea/read.py": reads(1, 2)})
    repo.commit(
        "Read the second twice", {"sea/read.py": reads(1, 2).replace("return 2", "return 4")}
    )
    (row,), skipped = mine(repo)
    assert (row.name, row.message) == ("read#2", "Read the second twice")
    assert (skipped["unit: added"], skipped["unit: removed"]) == (1, 1)


def test_a_class_changed_outside_its_methods_is_one_row(repo: Repo) -> None:
    changed = tide(NEW).replace("'cm'", "'m'")
    repo.commit("Measure in metres", {"sea/tide.py": changed})
    (row,), _ = mine(repo)
    assert (row.unit, row.name) == ("class", "Gauge")
    assert "unit = 'm'" in row.new_code
    assert NEW in row.new_code
    rows, _ = mine(repo, max_lines=3)  # too long for one row: its method stands for itself
    assert [row.name for row in rows] == ["Gauge.read"]


def test_surroundings_leave_out_what_only_has_the_same_name(repo: Repo) -> None:
    beside = "\n    def low(self):\n        return 0\n"
    other = "\nclass Other:\n    def read(self, u):\n        return 1\n" + beside
    repo.commit("Add another class", {"sea/tide.py": tide(OLD, beside + other)})
    repo.commit("Read the low one", {"sea/tide.py": tide("return self.low()", beside + other)})
    row = mine(repo)[0][0]
    assert row.context == "class Gauge:\ndef low(self):"


def test_merges_are_left_out_and_what_they_merge_is_not(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    repo.git("checkout", "-q", "main")
    repo.commit("Add a rule", {"sea/rule.py": "def rule():\n    return 1\n"})
    repo.git("merge", "-q", "--no-ff", "-m", "Bring both together", "side")
    repo.commit("Merge pull request #3 from sea/side", {"sea/tide.py": tide(OLD + " + 2")})
    rows, skipped = mine(repo)
    assert [row.message for row in rows] == ["Round readings up"]
    assert skipped["commit: merge"] == 2


def test_a_revert_goes_together_with_what_it_reverts(repo: Repo) -> None:
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    repo.git("revert", "--no-edit", "HEAD")
    repo.commit("Use floor", {"sea/tide.py": tide("return u // 1")})
    rows, skipped = mine(repo)
    assert [row.message for row in rows] == ["Use floor"]
    assert (skipped["commit: revert"], skipped["commit: reverted later"]) == (1, 1)


def test_a_revert_that_names_only_a_subject_counts_too(repo: Repo) -> None:
    repo.commit("Round readings up (#12)", {"sea/tide.py": tide(NEW)})
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW + " + 1")})
    repo.commit('Revert "Round readings up" (#13)', {"sea/tide.py": tide(NEW)})
    rows, skipped = mine(repo)
    assert [row.message for row in rows] == ["Round readings up (#12)"]
    assert skipped["commit: reverted later"] == 1


def test_a_reverted_revert_took_nothing_back(repo: Repo) -> None:
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    repo.git("revert", "--no-edit", "HEAD")
    repo.git("revert", "--no-edit", "HEAD")
    rows, skipped = mine(repo)
    assert [row.message for row in rows] == ["Round readings up"]
    assert skipped["commit: revert"] == 2


def test_renames_are_followed_and_renames_alone_are_no_change(repo: Repo) -> None:
    repo.git("mv", "sea/tide.py", "sea/gauge.py")
    repo.commit("Call it gauge")
    repo.git("mv", "sea/gauge.py", "sea/höhe (cm).py")
    repo.commit("Round up in a file of another name", {"sea/höhe (cm).py": tide(NEW)})
    (row,), skipped = mine(repo)
    assert row.path == "sea/höhe (cm).py"
    assert row.old_code.endswith(OLD + "\n")
    assert skipped["file: only renamed or its mode changed"] == 1


FILES: dict[str, tuple[str, str | bytes, str | bytes]] = {
    "vendored": ("vendor/lib/a.py", tide(OLD), tide(NEW)),
    "generated": ("sea/tide_pb2.py", tide(OLD), tide(NEW)),
    "stub": ("sea/tide.pyi", tide(OLD), tide(NEW)),
    "generated by its head": ("sea/made.go", "// Code generated by x. DO NOT EDIT.\npackage a\n",
                              "// Code generated by x. DO NOT EDIT.\npackage b\n"),
    "minified": ("web/app.js", "var a=1;" * 900, "var a=2;" * 900),
    "test": ("tests/test_tide.py", tide(OLD), tide(NEW)),
    "binary": ("sea/blob.py", b"x = '\xff\xfe'\n", b"x = '\xff\xfd'\n"),
    "null byte": ("sea/null.c", "int a = 1;\0", "int a = 2;\0"),
    "no language of ours": ("package-lock.json", "{}", '{"a": 1}'),
    "does not parse": ("sea/bad.py", "def f(:\n", "def g(:\n"),
    "too large": ("sea/large.py", "x = 1\n" * 200_000, "x = 2\n" * 200_000),
    "empty": ("sea/empty.py", "\n", tide(NEW)),
    "outside functions": ("sea/names.py", "A = 1\n", "A = 2\n"),
    "licence gpl-3.0-only": ("sea/gpl.py", "# SPDX-License-Identifier: GPL-3.0-only\n" + tide(OLD),
                             "# SPDX-License-Identifier: GPL-3.0-only\n" + tide(NEW)),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(FILES))
def test_files_that_nobody_wrote_here_are_left_out_by_name(repo: Repo, kind: str) -> None:
    path, before, after = FILES[kind]
    repo.commit("Add it", {path: before})
    repo.commit("Change it for the better", {path: after})
    rows, skipped = mine(repo)
    assert rows == []
    reason = {"generated by its head": "generated", "null byte": "binary"}.get(kind, kind)
    assert skipped[f"file: {reason}"] == 1


def test_modes_links_and_submodules_are_left_out(repo: Repo, tmp_path: Path) -> None:
    other = Repo(tmp_path / "other")
    (repo.folder / "link.py").symlink_to("sea/tide.py")
    repo.git("submodule", "--quiet", "add", str(other.folder), "lib")
    repo.commit("Add a link and a module")
    (repo.folder / "link.py").unlink()
    (repo.folder / "link.py").symlink_to("sea/other.py")
    other.commit("More", {"a.py": "x = 1\n"})
    repo.git("-C", "lib", "pull", "-q", str(other.folder))
    (repo.folder / "sea/tide.py").chmod(0o755)
    repo.commit("Change all three of them")
    rows, skipped = mine(repo)
    assert rows == []
    assert skipped["file: submodule"] == 2
    assert skipped["file: symbolic link"] == 1
    assert skipped["file: only renamed or its mode changed"] == 1


def test_huge_commits_and_changes_of_layout_are_left_out(repo: Repo) -> None:
    many = {f"sea/m{i}.py": f"def f():\n    return {i}\n" for i in range(9)}
    repo.commit("Add many", many)
    repo.commit(
        "Touch all of it",
        {name: text.replace("\n    ret", "  # x\n    ret") for name, text in many.items()},
    )
    repo.commit("Change all of it", {name: text.replace("return", "return 1 +")
                                     for name, text in many.items()})  # fmt: skip
    repo.commit("Say why in a comment", {"sea/tide.py": tide("# as it is\n        " + OLD)})
    repo.commit("wip", {"sea/tide.py": tide(NEW)})
    rows, skipped = mine(repo, max_units=6)
    assert rows == []
    assert skipped["commit: too many functions changed"] == 1
    assert skipped["unit: only comments or layout"] == 10
    assert skipped["commit: message says nothing"] == 1
    rows, skipped = mine(repo, max_units=9, max_files=8)
    assert rows == []
    # Adding them, touching them and changing them: nine files each.
    assert skipped["commit: too many files changed"] == 3


def test_what_is_in_a_commit_that_goes_whole_is_counted_once(repo: Repo) -> None:
    old = {f"sea/m{i}.py": f"def f():\n    return {i}\n" for i in range(4)}
    new = {name: text.replace("return", "return 1 +") for name, text in old.items()}
    repo.commit("Add them", {**old, "sea/a.py": old["sea/m0.py"], "sea/a.txt": "a\n"})
    layout = {"sea/a.py": "def f():\n    # as it is\n    return 0\n", "sea/a.txt": "b\n"}
    repo.commit("Change all of it", {**new, **layout})
    rows, skipped = mine(repo, max_units=3)
    assert rows == []
    assert skipped["commit: too many functions changed"] == 1
    assert not {"unit: only comments or layout", "file: no language of ours"} & skipped.keys()
    rows, skipped = mine(repo, max_units=4)
    assert [row.path for row in rows] == list(new)
    assert skipped["unit: only comments or layout"] == skipped["file: no language of ours"] == 1


def test_whole_files_and_tests_can_be_asked_for(repo: Repo) -> None:
    repo.commit("Add a test", {"tests/test_tide.py": tide(OLD)})
    repo.commit("Test more", {"tests/test_tide.py": tide(NEW)})
    (row,), _ = mine(repo, units="file", tests=True)
    assert (row.unit, row.old_code, row.new_code) == ("file", tide(OLD), tide(NEW))


@pytest.mark.parametrize(
    "path",
    ["sea/tests.py", "sea/tide_tests.py", "web/tide.spec.js", "web/test-tide.js",
     "web/tide-test.ts", "web/e2e/tide.js", "integration_tests/tide.py", "Sea.Tests/Tide.cs",
     "src/test/java/Tide.java", "unit-test/tide.c", "web/tide.test-d.ts", "web/tide.cy.js"],
)  # fmt: skip
def test_a_file_of_tests_is_known_by_its_name_or_folder(path: str) -> None:
    assert path_problem(path) == "test"


@pytest.mark.parametrize(
    "path",
    ["sea/latest.py", "sea/contest.js", "web/inspect.ts", "sea/attestation/tide.py",
     "sea/special.rs", "sea/protest.go", "sea/Greatest.java"],
)  # fmt: skip
def test_a_file_that_only_sounds_like_tests_is_mined(path: str) -> None:
    assert path_problem(path) == ""


TESTS_INSIDE = {
    "sea/a.py": "def test_tide():\n    assert 1 == %s\n",
    "sea/b.py": "class Check(unittest.TestCase):\n    def setUp(self):\n        self.u = %s\n",
    "sea/c.py": "class TestTide:\n    unit = %s\n\n    def test_it(self):\n        pass\n",
    "sea/d.js": "it('reads', function () {\n  assert.equal(%s, read());\n});\n",
    "sea/e.rs": "#[cfg(test)]\nmod tests {\n    fn tide() -> i32 {\n        %s\n    }\n}\n",
    "sea/f.rs": "#[test]\nfn reads() {\n    assert_eq!(%s, 2);\n}\n",
    "sea/g.go": "package a\n\nfunc TestTide(t *testing.T) {\n\tread(%s)\n}\n",
    "sea/H.java": "class H {\n    @Test\n    void reads() {\n        read(%s);\n    }\n}\n",
    "sea/I.cs": "class I {\n    [Fact]\n    void Reads() {\n        Read(%s);\n    }\n}\n",
}


@pytest.mark.parametrize("path", list(TESTS_INSIDE))
def test_a_test_inside_a_source_is_no_row_unless_asked_for(repo: Repo, path: str) -> None:
    repo.commit("Add it", {path: TESTS_INSIDE[path] % 1})
    repo.commit("Test it better", {path: TESTS_INSIDE[path] % 2})
    rows, skipped = mine(repo)
    assert (rows, skipped["unit: test"]) == ([], 1)
    assert len(mine(repo, tests=True)[0]) == 1


def test_what_only_has_test_in_its_name_is_a_row(repo: Repo) -> None:
    texts = {
        "sea/a.py": "def testify(u):\n    return %s\n\n\ndef is_test(u):\n    return -%s\n",
        "sea/b.js": "function test(u) {\n  return %s + %s;\n}\n",
        "sea/c.go": "package a\n\nfunc Testify(u int) int {\n\treturn %s + %s\n}\n",
    }
    repo.commit("Add them", {path: text % (1, 1) for path, text in texts.items()})
    repo.commit("Count better", {path: text % (2, 2) for path, text in texts.items()})
    rows, skipped = mine(repo)
    assert sorted(row.name for row in rows) == ["Testify", "is_test", "test", "testify"]
    assert "unit: test" not in skipped


def test_other_languages_give_functions_and_unwanted_ones_are_counted(repo: Repo) -> None:
    go = "package sea\n\nfunc (g *Gauge) Read() int {\n\treturn 1\n}\n"
    repo.commit("Add a port", {"sea/tide.go": go})
    repo.commit("Read two of them", {"sea/tide.go": go.replace("1", "2")})
    (row,), _ = mine(repo)
    assert (row.language, row.name) == ("go", "Gauge.Read")
    assert row.context == ""
    rows, skipped = mine(repo, languages=("python",))
    assert rows == []
    assert skipped["file: language not asked for (go)"] == 1


def test_a_change_made_twice_is_one_row(repo: Repo) -> None:
    text = "def f():\n    return 1\n"
    repo.commit("Add two", {"sea/a.py": text, "sea/b.py": text})
    changed = text.replace("1", "2")
    repo.commit("Return two of them", {"sea/a.py": changed, "sea/b.py": changed})
    rows, skipped = mine(repo)
    assert len(rows) == 1
    assert skipped["duplicate"] == 1


def test_a_licence_that_is_not_allowed_stops_at_once_and_names_it(tmp_path: Path) -> None:
    gpl = Repo(tmp_path / "gpl", "GNU GENERAL PUBLIC LICENSE\nVersion 3\n")
    with pytest.raises(DataError, match="its licence is gpl, which is not one of apache"):
        mine(gpl)
    bare = Repo(tmp_path / "bare", "")
    bare.commit("Add it", {"a.py": tide(OLD)})
    bare.commit("Change it now", {"a.py": tide(NEW)})
    with pytest.raises(DataError, match="its licence is not stated"):
        mine(bare)
    (row,), _ = mine(bare, licenses=("any",))
    assert row.license == ""
    bare.commit("Name it", {"pyproject.toml": '[project]\nlicense = "Apache-2.0"\n'})
    assert mine(bare)[0][0].license == "apache-2.0"


def test_what_is_no_repository_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty" / ".git").mkdir(parents=True)
    with pytest.raises(DataError, match="no git repository with a commit that can be read"):
        list(load_commits(str(tmp_path / "empty")))
    with pytest.raises(DataError, match="could not be cloned"):
        list(load_commits((tmp_path / "nothing").as_uri(), cache=tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_reader_that_stops_early_ends_its_processes(repo: Repo) -> None:
    for i in range(20):
        repo.commit(f"Count to {i} now", {"sea/tide.py": tide(f"return {i}")})
    rows = load_commits(str(repo.folder))
    assert next(rows).message == "Count to 19 now"
    rows.close()
    children = Path("/proc/self/task").glob("*/children")
    pids = [pid for child in children for pid in child.read_text().split()]
    commands = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids]
    assert not [command for command in commands if b"cat-file" in command]


def test_python_of_any_age_is_read_whatever_this_interpreter_takes(repo: Repo) -> None:
    old = "def f(x):\n    try:\n        print x\n    except E, e:\n        pass\n"
    new = "def g[T](x: T) -> T:\n    return f'{x['a']}'\n"
    repo.commit("Add them", {"old.py": old, "new.py": new})
    changed = {"old.py": old.replace("print x", "print `x`"), "new.py": new.replace("'a'", "'b'")}
    repo.commit("Print what it stands for", changed)
    rows, skipped = mine(repo)
    assert sorted(row.name for row in rows) == ["f", "g"]
    assert not skipped["file: does not parse"]


EXPRESS = (
    "var fs = require('fs'), path = require('path');\n"
    "res.send = function send(body) {\n  return fs.read(body, 1);\n};\n"
    "exports.x = (q) => {\n  return q + 1;\n};\n"
    "View.prototype.path = function () {\n  return 1;\n};\n"
    "var proto = {\n  route: function (p) {\n    return 1;\n  }\n};\n"
    "get(req, 'host', function host() {\n  return 1;\n});\n"
    ";(function () {\n  function inner() {\n    return 1;\n  }\n}());\n"
)


def test_functions_of_javascript_are_units_as_people_write_them(repo: Repo) -> None:
    repo.commit("Add the response", {"lib/response.js": EXPRESS})
    repo.commit("Count from two", {"lib/response.js": EXPRESS.replace("1", "2")})
    rows, _ = mine(repo)
    assert [row.name for row in rows] == [
        "res.send", "exports.x", "View.prototype.path", "proto.route", "get(req, 'host')", "inner",
    ]  # fmt: skip
    assert rows[0].context == "var fs = require('fs');"
    assert rows[0].new_code == "res.send = function send(body) {\n  return fs.read(body, 2);\n};\n"
    assert rows[3].context == "proto = {"


def test_functions_inside_one_that_is_too_long_stand_for_themselves(repo: Repo) -> None:
    inner = "  function inner() {\n    return 1;\n  }\n"
    code = "function outer() {\n" + "  work();\n" * 9 + inner + "  return inner;\n}\n"
    repo.commit("Add it", {"a.js": code})
    repo.commit("Return two of them", {"a.js": code.replace("1", "2")})
    assert [row.name for row in mine(repo)[0]] == ["outer"]
    (row,), skipped = mine(repo, max_lines=9)
    assert (row.name, row.context) == ("outer.inner", "function outer()")
    assert not skipped["unit: too long"]


LGPL = (
    "######## BEGIN LICENSE BLOCK ########\n# This library is free software; you can redistribute "
    "it and/or\n# modify it under the terms of the GNU Lesser General Public\n# License ...\n"
)


def test_the_licence_of_a_file_is_what_its_head_or_its_folder_states(repo: Repo) -> None:
    apache = "Apache License\nVersion 2.0, January 2004\n"
    files = {"sea/chard.py": LGPL + tide(OLD), "sea/deep/tide.py": tide(OLD),
             "sea/far.py": '"""Far.\n\n:license: ISC, see LICENSE.\n"""\n' + tide(OLD)}  # fmt: skip
    texts = {
        "sea/deep/LICENSE": apache,
        "sea/deep/license_gpl.go": "package a // GNU General Public License\n",
    }
    repo.commit("Add them", {**files, **texts})
    repo.commit("Round up", {name: text.replace(OLD, NEW) for name, text in files.items()})
    rows, skipped = mine(repo)
    assert sorted((row.path, row.license) for row in rows) == [("sea/deep/tide.py", "apache-2.0")]
    assert skipped["file: licence lgpl"] == 1
    # The same change of the same function, but for its licence.
    assert skipped["duplicate"] == 1


def test_a_licence_is_that_of_the_day_of_the_commit(repo: Repo) -> None:
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    repo.commit("Change the licence", {"LICENSE": "Apache License\nVersion 2.0\n"})
    repo.commit("Count from one", {"sea/tide.py": tide(NEW + " + 1")})
    assert [row.license for row in mine(repo)[0]] == ["apache-2.0", "mit"]


def test_packages_inside_a_package_that_have_a_version_of_their_own_are_vendored(
    repo: Repo,
) -> None:
    inside = {"sea/lib/charade/__init__.py": "__version__ = '1.0'\n",
              "sea/lib/oreos/__init__.py": "", "sea/lib/__init__.py": "",
              "sea/__init__.py": "__version__ = '2.0'\n", "sea/parts/__init__.py": ""}  # fmt: skip
    code = {f"sea/{name}/core.py": f"def {name[-2:]}():\n    return 1\n"
            for name in ("lib/charade", "lib/oreos", "parts")}  # fmt: skip
    repo.commit("Add them", {**inside, **code})
    repo.commit("Return two", {name: text.replace("1", "2") for name, text in code.items()})
    (row,), skipped = mine(repo)
    assert row.path == "sea/parts/core.py"
    assert skipped["file: vendored"] == 2


def test_every_lost_unit_of_a_file_is_counted_beside_its_rows(repo: Repo) -> None:
    def unit(name: str, value: int, n: int = 1) -> str:
        return f"def {name}():\n" + "    work()\n" * n + f"    return {value}\n\n\n"

    repo.commit("Add them", {"a.py": unit("f", 1) + unit("long", 1, 300) + unit("gone", 1)})
    repo.commit("Return two", {"a.py": unit("f", 2) + unit("long", 2, 300) + unit("new", 1)})
    rows, skipped = mine(repo)
    assert [row.name for row in rows] == ["f"]
    assert [skipped[f"unit: {why}"] for why in ("too long", "added", "removed")] == [1, 1, 1]


JQUERY = "/*!\n * jQuery JavaScript Library v1.7.2\n * Dual licensed under the MIT license.\n */\n"
MIRROR = "// CodeMirror, copyright (c) by Marijn Haverbeke and others\n// Under an MIT license\n"
OWN_HEAD = "/*!\n * sea v2.0\n * Copyright (c) the authors\n * MIT Licensed\n */\n"


@pytest.mark.parametrize(
    ("path", "head", "is_row"),
    [
        ("static/lib.js", JQUERY, False),
        ("static/mode.js", MIRROR, False),
        ("lib/tide.js", OWN_HEAD, True),
        ("lib/tide.js", "// MIT license\n", True),
        ("sea/operations/build/wheel.js", "", True),
        ("sea/external/dist/read.js", "", True),
        ("build/wheel.js", "", False),
        ("dist/sea.js", "", False),
        ("packages/tide/dist/tide.js", "", False),
    ],
)
def test_vendored_and_built_files_are_known_by_their_head_and_by_where_they_lie(
    repo: Repo, path: str, head: str, is_row: bool
) -> None:
    code = head + "function f(x) {\n  return 1;\n}\n"
    repo.commit("Add it", {path: code, "packages/tide/package.json": "{}"})
    repo.commit("Return two of them", {path: code.replace("return 1", "return 2")})
    rows, skipped = mine(repo)
    assert [row.path for row in rows] == ([path] if is_row else [])
    assert skipped["file: vendored"] == (not is_row)


BROKEN = "def bad(x):\n    return = {}\n\n\n"
CLASS = "class Gauge:\n    unit = {0}\n\n    def read(self):\n        return {1}\n\n    {2}\n\n\n"


@pytest.mark.parametrize(
    ("before", "after", "names", "lost"),
    [
        ("def first[T: int = int]():\n    return 1\n", "def first[T: int = int]():\n    return 2\n",
         ["first"], 0),
        ("class A[T = dict[str, A]]:\n    x = 1\n", "class A[T = dict[str, A]]:\n    x = 2\n",
         ["A"], 0),
        (BROKEN.format(1) + tide(OLD), BROKEN.format(2) + tide(NEW), ["Gauge.read"], 1),
        (BROKEN.format(1) + tide(OLD), BROKEN.format(1) + tide(NEW), ["Gauge.read"], 0),
        (BROKEN.format(1) + tide(OLD), "def bad(x):\n    return 1\n\n\n" + tide(NEW),
         ["Gauge.read"], 1),
        ("def bad(x):\n    return 1\n\n\n" + tide(OLD), BROKEN.format(1) + tide(NEW),
         ["Gauge.read"], 1),
        (CLASS.format(1, 1, "x = = 1"), CLASS.format(1, 2, "x = = 1"), ["Gauge.read"], 0),
        (CLASS.format(1, 1, "x = = 1"), CLASS.format(2, 2, "x = = 1"), ["Gauge.read"], 1),
        ("def f(x)\n    return 1\n\n\n" + tide(OLD), "def f(x)\n    return 2\n\n\n" + tide(NEW),
         ["Gauge.read"], 1),
    ],
    ids=["function of PEP 696", "class of PEP 696", "both broken", "broken and the same",
         "repaired", "broke", "method of a broken class", "attribute of a broken class", "no head"],
)  # fmt: skip
def test_what_does_not_parse_is_counted_beside_the_rows(
    repo: Repo, before: str, after: str, names: list[str], lost: int
) -> None:
    repo.commit("Add it", {"a.py": before})
    repo.commit("Return what was asked for", {"a.py": after})
    rows, skipped = mine(repo)
    assert [row.name for row in rows] == names
    n_units = {why: n for why, n in skipped.items() if why.startswith("unit: ")}
    assert n_units == ({"unit: does not parse": lost} if lost else {})


def test_days_authors_places_and_where_to_begin_are_by_choice(repo: Repo) -> None:
    for n in range(3):
        repo.commit(f"Count to {n}", {"sea/tide.py": tide(f"return {n}")})
    repo.git("tag", "v1")
    repo.commit("Count to ten", {"sea/tide.py": tide("return 10"), "b.py": tide(OLD)})
    repo.git("revert", "--no-edit", "HEAD")

    def messages(**options: object) -> list[str]:
        return [row.message for row in mine(repo, **options)[0]]

    every = ["Count to 2", "Count to 1", "Count to 0"]
    assert messages() == messages(since="2023-11-14", until="2023-11-14") == every
    assert messages(since="2023-11-15") == messages(until="2023-11-13") == []
    assert messages(author="edda") == every
    assert messages(author="joe") == []
    assert messages(path=("sea",)) == messages(path=("*/tide.py",)) == every
    assert messages(path=("se", "b.py")) == []
    # Seen from there, nothing has been reverted yet.
    assert messages(ref="HEAD~1") == ["Count to ten", *every]
    assert messages(ref="v1") == every
    with pytest.raises(DataError, match="no commit is called 'v2'"):
        messages(ref="v2")


def test_a_pull_request_is_a_unit_in_its_own_words(repo: Repo, tmp_path: Path) -> None:
    repo.git("checkout", "-q", "-b", "side")
    repo.commit("fixup", {"sea/tide.py": tide("return 7")})
    repo.commit("wip on rounding", {"sea/tide.py": tide(NEW)})
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "Merge pull request #3 from joe/side\n\nX", "side")
    squashed = repo.commit("Squashed", {"sea/tide.py": tide(NEW + " + 1")})
    base = {"repo": {"full_name": "edda/Sea"}}
    other = {"repo": {"full_name": "edda/land"}}
    dump = [
        {"number": 3, "title": "Round readings up", "body": "Staff asked @joe for it.\r\n",
         "base": base},
        {"number": 3, "title": "Plough", "body": "Of another repository.", "base": other},
        {"number": 4, "title": "Count from one", "body": None, "merge_commit_sha": squashed,
         "merged_at": "2026-01-01T00:00:00Z"},
        {"pull_request_url": "https://api.example/repos/edda/sea/pulls/3",
         "body": "Use math.ceil."},
    ]  # fmt: skip
    file = tmp_path / "pulls.jsonl"
    write_rows(file, dump)
    rows, skipped = mine(repo, pulls=str(file))
    assert [(row.pull, row.message) for row in rows] == [
        ("4", "Count from one"),
        ("3", "Round readings up\n\nStaff asked for it.\n\nUse math.ceil."),
    ]
    assert (rows[1].old_code, rows[1].new_code) == (
        f"def read(self, u):\n    {OLD}\n", f"def read(self, u):\n    {NEW}\n",
    )  # fmt: skip
    assert skipped["commit: part of a pull request"] == 2
    write_rows(file, [{"title": "x"}])
    with pytest.raises(DataError, match=r"pulls\.jsonl.*1: no pull request"):
        mine(repo, pulls=str(file))


def test_a_number_is_that_of_a_pull_request_of_the_same_repository(
    repo: Repo, tmp_path: Path
) -> None:
    repo.commit("Round readings up (#7)", {"sea/tide.py": tide(NEW)})
    repo.commit("Count from one (#8)", {"sea/tide.py": tide(NEW + " + 1")})
    file = tmp_path / "pulls.jsonl"
    address = "https://example.org/edda/land/pull/7"
    write_rows(
        file,
        [
            {"number": 7, "title": "Plough", "html_url": address},
            {"number": 8, "title": "Of nobody"},
        ],
    )
    rows, skipped = mine(repo, pulls=str(file))
    assert [(row.pull, row.message) for row in rows] == [
        ("", "Count from one (#8)"),
        ("", "Round readings up (#7)"),
    ]
    assert skipped["pull: names no repository"] == 1
    repo.git("remote", "add", "origin", "https://example.org/edda/land.git")
    rows, _ = mine(repo, pulls=str(file))
    assert [row.pull for row in rows] == ["", "7"]


def test_a_clone_called_repo_is_called_as_the_folder_it_lies_in(repo: Repo, tmp_path: Path) -> None:
    repo.commit("Round readings up", {"sea/tide.py": tide(NEW)})
    bare = tmp_path / "edda+sea" / "repo"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    (bare / "config").write_text("[core]\n\tbare = true\n\trepositoryformatversion = 0\n")
    (row,) = mine_repository(bare, options=CommitOptions(), skipped=Counter())
    assert row.source == "edda+sea"


@pytest.mark.parametrize(
    "head",
    [
        "(function e(t,n,r){return n})({1:[function(require,module,exports){\n",
        ";(function(){\n\n// CommonJS require()\n\nfunction require(p){\n",
        "/******/ (() => { // webpackBootstrap\n",
    ],
)
def test_what_a_bundler_wrote_is_generated(head: str) -> None:
    assert content_problem(head + "var tide = 1;\n" * 20) == "generated"
    assert content_problem("var tide = require('tide');\n" * 20) == ""
