"""What a desk has and the together lane lacked: each was judged otherwise there."""

from __future__ import annotations

import pytest

from codefavor.sandbox import SandboxPool

SQUARE = "def f(x):\n    return x * x\n"
FUTURE = "from __future__ import annotations\ndef f(x: N):\n    return x.v\n"
NODE = "class N:\n    v = 3\n"
# name: (program, tests, setup)
AS_ON_A_DESK = {
    "a future import behind a setup, one file": (
        FUTURE, "def test_f(tmp_path):\n    assert f(N()) == 3\n", NODE),
    "a future import behind a setup, two files": (
        FUTURE, "from solution import f, N\ndef test_f(tmp_path):\n    assert f(N()) == 3\n", NODE),
    "a future import behind a setup, a script": (
        FUTURE, "from unittest import mock\nm = mock.Mock(return_value=N())\nassert f(m()) == 3\n",
        NODE),
    "a future import behind a docstring": (
        '"""A text."""\nfrom __future__ import annotations\ndef f(x: N):\n    return 4\n',
        "def test_f(tmp_path):\n    assert f(2) == 4\n", ""),
    "a future import of several lines": (
        SQUARE, "from __future__ import (\n    annotations,\n)\n"
        "def test_f(tmp_path):\n    assert f(2) == 4\n", ""),
    "a text that holds a future import": (
        "def f(text):\n    return text.splitlines()[-2]\n",
        "TEXT = '''\nx = 1\nfrom __future__ import annotations\ny\n'''\n"
        "def test_f(tmp_path):\n    assert f(TEXT) == 'from __future__ import annotations'\n", ""),
    "a program that ends in a backslash": (
        SQUARE + "# \\", "def test_f(tmp_path):\n    assert f(2) == 4\n", ""),
    "the name of the module": (
        "class A:\n    pass\ndef f():\n    return A.__module__, repr(A), __name__\n",
        "from mymod import f\ndef test_f(tmp_path):\n"
        "    assert f() == ('mymod', \"<class 'mymod.A'>\", 'mymod')\n", ""),
    "the name of a logger": (
        "import logging\nlog = logging.getLogger(__name__)\ndef f(x):\n    log.warning('w')\n",
        "import unittest\nfrom pkg.mymod import f\nclass T(unittest.TestCase):\n"
        "    def test_f(self):\n        with self.assertLogs('pkg.mymod', 'WARNING'):\n"
        "            f(2)\n", ""),
    "a filter of warnings by module": (
        "import warnings\ndef f():\n    warnings.warn('x', DeprecationWarning)\n    return 1\n",
        "import pytest\nimport mymod\n"
        "@pytest.mark.filterwarnings('ignore::DeprecationWarning:mymod')\n"
        "@pytest.mark.filterwarnings('error')\n"
        "def test_f():\n    assert mymod.f() == 1\n", ""),
    "a package and a module of it": (
        SQUARE, "import pkg\nfrom pkg.mymod import f\ndef test_f(tmp_path):\n"
        "    assert f(2) == pkg.f(2) == 4\n", ""),
    "a reload behind a setup": (
        "n = start + 1\n", "import importlib\nimport solution\ndef test_n(tmp_path):\n"
        "    solution.n = 9\n    assert importlib.reload(solution).n == 2\n", "start = 1\n"),
    "the text of a function, one file": (
        SQUARE, "import inspect\ndef test_f(tmp_path):\n"
        "    assert 'return x * x' in inspect.getsource(f)\n    assert f(2) == 4\n", ""),
    "an executable file": (
        "import os, shutil\ndef f(d):\n    return os.access(d / 'a', os.X_OK), "
        "shutil.which('a', path=str(d)) is not None\n",
        "def test_f(tmp_path):\n    (tmp_path / 'a').write_text('#!/bin/sh')\n"
        "    (tmp_path / 'a').chmod(0o755)\n    assert f(tmp_path) == (True, True)\n", ""),
    "a class that skips itself beside a test": (
        SQUARE, "import unittest\nfrom unittest import mock\nclass A(unittest.TestCase):\n"
        "    def test_a(self):\n"
        "        self.assertEqual(f(mock.Mock(return_value=2)()), 4)\n"
        "class B(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n"
        "        raise unittest.SkipTest('no')\n    def test_b(self):\n        pass\n", ""),
    "a part that skips itself": (
        SQUARE, "import unittest\nfrom unittest import mock\nclass A(unittest.TestCase):\n"
        "    def test_a(self):\n        for i in range(3):\n            with self.subTest(i=i):\n"
        "                if i == 1:\n                    self.skipTest('no')\n"
        "                self.assertEqual(f(mock.Mock(return_value=i)()), i * i)\n", ""),
    "pytest's cache": (
        SQUARE, "def test_f(cache, request):\n    cache.set('a/b', f(2))\n"
        "    assert request.config.cache.get('a/b', None) == 4\n", ""),
    "pytest's terminal": (
        SQUARE, "def test_f(request):\n    plugins = request.config.pluginmanager\n"
        "    assert plugins.getplugin('terminalreporter') is not None\n"
        "    assert request.config.get_terminal_writer().fullwidth > 0\n"
        "    assert f(2) == 4\n", ""),
    "a script that ends with sys.exit(0)": (
        SQUARE, "import sys\nfrom solution import f\nassert f(2) == 4\nsys.exit(0)\n", ""),
    "a script that ends with exit()": (
        SQUARE, "from solution import f\nassert f(2) == 4\nexit()\n", ""),
    "a script whose exit status is the verdict": (
        SQUARE, "import sys\nfrom solution import f\nsys.exit(0 if f(2) == 4 else 1)\n", ""),
    "a main function under the guard": (
        SQUARE, "import sys\nfrom solution import f\ndef main():\n    assert f(2) == 4\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n", ""),
    "unittest.main and a base by another name": (
        SQUARE, "import unittest\nfrom solution import f\nBase = unittest.TestCase\n"
        "class FTest(Base):\n    def test_f(self):\n        self.assertEqual(f(2), 4)\n"
        "if __name__ == '__main__':\n    unittest.main()\n", ""),
    "load_tests beside a function that is called test": (
        SQUARE, "import unittest\nfrom solution import f\ndef tests_of(n):\n    return n\n"
        "class A(unittest.TestCase):\n    def check_it(self):\n        self.assertEqual(f(2), 4)\n"
        "def load_tests(loader, tests, pattern):\n    return unittest.TestSuite([A('check_it')])\n",
        ""),
}  # fmt: skip


@pytest.mark.parametrize("case", AS_ON_A_DESK.values(), ids=AS_ON_A_DESK.keys())
def test_the_together_lane_is_a_desk(both_lanes: SandboxPool, case: tuple[str, str, str]) -> None:
    code, tests, setup = case
    run = both_lanes.run(code, tests, setup=setup)
    assert (run.outcome, run.trust) == ("passed", "together"), run.error
    wrong = both_lanes.run("def f(*given):\n    return None\nn = 0\n", tests, setup=setup)
    assert wrong.outcome != "passed"


def test_one_wrong_test_beside_a_class_that_skips_itself_fails(both_lanes: SandboxPool) -> None:
    _, tests, _ = AS_ON_A_DESK["a class that skips itself beside a test"]
    run = both_lanes.run("def f(x):\n    return x + x + 1\n", tests)
    assert (run.outcome, run.passed, run.total) == ("wrong_output", 0, 1)
    skipped = tests.replace("    def test_a(", "    @unittest.skip('no')\n    def test_a(")
    assert both_lanes.run(SQUARE, skipped).outcome == "test_error"


@pytest.mark.parametrize("end", ["sys.exit(0)", "sys.exit()", "raise SystemExit", "exit()"])
def test_a_program_that_ends_its_script_has_not_passed(both_lanes: SandboxPool, end: str) -> None:
    code = f"import sys\ndef f(x):\n    {end}\n"
    for ends in ("", "    sys.exit(0)\n"):
        tests = f"import sys\nfrom solution import f\nif sys.argv:\n    assert f(2) == 4\n{ends}"
        assert both_lanes.run(code, tests).outcome == "runtime_error"
