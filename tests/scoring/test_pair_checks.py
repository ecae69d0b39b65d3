"""What must hold of every pair, in every language: both sides parse, and differ in substance."""

from __future__ import annotations

import pytest

from codefavor.errors import Rejected
from codefavor.scoring.findings import Bandit, Finding, badness
from codefavor.scoring.pair_checks import check_pair


def reason_of(chosen: str, rejected: str, language: str) -> str:
    with pytest.raises(Rejected) as caught:
        check_pair(chosen, rejected, language)
    return caught.value.reason


@pytest.mark.parametrize(
    ("chosen", "rejected", "language", "reason"),
    [
        ("", "x = 1\n", "python", "empty_code:chosen"),
        ("x = 1\n", "x = \n", "python", "does_not_parse:rejected"),
        ("func f() {\n", "func f() {}\n", "go", "does_not_parse:chosen"),
        ("x = 1  # one\n", "x  =  1\n", "python", "identical_codes"),
        ("x = 'a'\n", 'x = "a"\n', "python", "identical_codes"),
        ("int f() { return 1; } // a\n", "int f()\n{\n  return 1;\n}\n", "c", "identical_codes"),
        ("MOVE A TO B.\n", "MOVE  A  TO  B.\n", "cobol", "identical_codes"),
    ],
)
def test_reasons(chosen: str, rejected: str, language: str, reason: str) -> None:
    assert reason_of(chosen, rejected, language) == reason


def test_a_pair_that_differs_says_who_read_it() -> None:
    assert check_pair("x = 1\n", "x = 2\n", "python")["reader"] == "python"
    assert check_pair("x := 1\n", "x := 2\n", "go")["reader"] == "tree-sitter"
    unknown = check_pair("MOVE A TO B.\n", "MOVE B TO A.\n", "cobol")
    assert unknown == {"parses": None, "reader": "none", "same_tokens": False}


def findings(bandit: Bandit, code: str) -> list[Finding]:
    found = bandit.find(code)
    assert found is not None
    return found


def test_findings_have_places_and_the_worse_program_is_worse() -> None:
    bandit = Bandit()
    head = "import subprocess\n\n\ndef f(path):\n"
    shell = head + "    subprocess.call('ls ' + path, shell=True)  # nosec\n"
    safe = head + "    subprocess.call(['/bin/ls', path])\n"
    found = findings(bandit, shell)
    assert any(one.test == "B602" and one.line == 5 and one.severity == "HIGH" for one in found)
    assert badness(found) > badness(findings(bandit, safe))
    many = head + "".join(f"    eval(path + '{i}')\n" for i in range(3))
    assert badness(findings(bandit, many)) < badness(found)  # one of high severity counts for more
    assert [one.line for one in findings(bandit, many)] == [1, 5, 6, 7]
    assert bandit.find("def f(x):\n    return x + 1\n") == []


@pytest.mark.parametrize("head", ["# coding: utf-16\n", "# -*- coding: no-such -*-\n"])
def test_a_program_that_bandit_cannot_read_is_not_without_findings(head: str) -> None:
    # Python reads it from text, where such a line says nothing.
    names: dict[str, object] = {}
    exec(head + "def f(text):\n    return eval(text)\n", names)
    assert Bandit().find(head + "def f(text):\n    return eval(text)\n") is None
