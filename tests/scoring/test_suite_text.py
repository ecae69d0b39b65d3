"""What the text of a suite tells before it runs."""

from __future__ import annotations

import pytest

from codefavor.scoring.suite_text import read_suite

HEAD = "from solution import clamp\ndef test_it():\n    assert clamp(1, 2, 4) == 2\n"
PATCHES = {
    "setattr(builtins, 'input', f)": "",
    "monkeypatch.setattr(builtins, 'open', f)": "",
    "builtins.input = f": "",
    "unittest.TestCase.maxDiff = None": "",
    "unittest.util._MAX_LENGTH = 2000": "",
    "setattr(unittest.TestCase, 'longMessage', True)": "",
    "def pytest_configure(config): pass": "",
    "setattr(builtins, 'isin' + 'stance', f)": "patches_the_recorder",
    "builtins.AssertionError = f": "patches_the_recorder",
    "unittest.TestCase.run = f": "patches_the_recorder",
    "setattr(unittest.TestCase, 'fail', f)": "patches_the_recorder",
    "pytest.raises = f": "patches_the_recorder",
    "def pytest_runtest_makereport(): pass": "patches_the_recorder",
}


@pytest.mark.parametrize("line", PATCHES)
def test_only_what_counts_tests_may_not_be_patched(line):
    suite = read_suite(f"{HEAD}    {line}\n", frozenset(["clamp"]), frozenset())
    assert suite.defect == PATCHES[line]


def test_a_program_s_own_name_reads_no_source():
    text = (
        "from solution import disassemble\ndef test_it():\n    assert disassemble(12) == [1, 2]\n"
    )
    assert read_suite(text, frozenset(["disassemble"]), frozenset()).defect == ""
    assert read_suite(text, frozenset(["other"]), frozenset()).defect == "reads_source"


@pytest.mark.parametrize(
    ("line", "checks"), [("raise OSError('x')", 1), ("raise SkipTest('x')", 0), ("raise", 0)]
)
def test_an_if_that_raises_is_a_check_unless_it_skips(line, checks):
    text = (
        f"from solution import clamp\ndef test_it():\n    if clamp(1, 2, 4) != 2:\n        {line}"
    )
    assert read_suite(text, frozenset(["clamp"]), frozenset()).checks == checks
