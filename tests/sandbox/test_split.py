"""Where two processes would not do what one does, nobody is blamed and nothing is passed.

Each program does what plain Python says it should; each of these tests passes in one process.
"""

from __future__ import annotations

import json

import pytest

from codefavor.sandbox import Limits, SandboxPool

PYTEST = "import pytest\n"
# name -> (a right program, its tests, what the split lane says)
RIGHT = {
    "a NaN in a list": (
        "import math\ndef f():\n    return [math.nan]",
        "import math\nassert math.nan in f()",
        "a NaN",
    ),
    "a NaN handed over": (
        "import math\ndef f(xs):\n    return math.nan in xs",
        "import math\nassert f([math.nan])",
        "a NaN",
    ),
    "StopIteration that the tests wait for": (
        "def f():\n    return next(iter([]))",
        "try:\n    f()\n    found = False\nexcept Exception:\n    found = True\nassert found",
        "StopIteration",
    ),
    "an exception of a library": (
        "import json\ndef f(s):\n    return json.loads(s)",
        f"import json\n{PYTEST}def test_f():\n    with pytest.raises(json.JSONDecodeError):\n"
        "        f('{')",
        "json.decoder",
    ),
    "the name of a callback": (
        "def f(g):\n    return g.__name__",
        "def double(x):\n    return 2 * x\nassert f(double) == 'double'",
        "__name__",
    ),
    "the signature of a callback": (
        "import inspect\ndef f(g):\n    return len(inspect.signature(g).parameters)",
        "assert f(lambda a, b: a) == 2",
        "of a function of the tests",
    ),
    "what a failed check in a callback says": (
        "def f(g):\n    try:\n        g()\n    except AssertionError as error:\n"
        "        return str(error)",
        "def bad():\n    raise AssertionError('no')\nassert f(bad) == 'no'",
        "AssertionError",
    ),
    "an exception of the program's own in a callback": (
        "class E(Exception):\n    pass\ndef low():\n    raise E\ndef f(g):\n    try:\n"
        "        g()\n    except E:\n        return 1",
        "from solution import f, low\ndef call():\n    return low()\nassert f(call) == 1",
        "E in a function",
    ),
    "two equal bound methods": (
        "class f:\n    def m(self):\n        pass",
        "a = f()\nassert a.m == a.m",
        "a comparison",
    ),
    "a function of a library": (
        "import math\ndef f():\n    return math.sqrt",
        "import math\nassert f() == math.sqrt",
        "a comparison",
    ),
    "keys of a dict": (
        "def f(d):\n    return d.keys()",
        "assert f({1: 2}) == {1}",
        "a comparison",
    ),
    "a deque changed in place": (
        "def f(d):\n    d.append(1)",
        "from collections import deque\nd = deque()\nf(d)\nassert list(d) == [1]",
        "a deque",
    ),
    "a list that holds itself": (
        "def f(xs):\n    xs.append(xs)",
        "xs = []\nf(xs)\nassert len(xs) == 1",
        "holds itself",
    ),
    "a time of a zone": (
        "import datetime as d\ndef f():\n    return d.timezone.utc",
        "assert repr(f()) == 'datetime.timezone.utc'",
        "",
    ),
    "a dict that changes while the tests go over it": (
        "class f:\n    def __init__(self):\n        self.d = {'a': 0, 'b': 0}\n"
        "    def add(self, key):\n        self.d[key] += 1",
        "c = f()\nd = c.d\nfor key in d:\n    c.add(key)\nassert d == {'a': 1, 'b': 1}",
        "",
    ),
    "classes in the order in which they stand": (
        "seen = []\ndef f(x):\n    seen.append(x)\n    return list(seen)",
        "class TestF:\n    def test_b(self):\n        assert f('b') == ['b']\n"
        "    def test_a(self):\n        assert f('a') == ['b', 'a']",
        "",
    ),
    "the file of the program": (
        "import os\ndef f():\n    return os.path.basename(__file__)",
        "assert f() == 'solution.py'",
        "the process that it runs in",
    ),
    "the source of the program": (
        "import inspect\ndef f():\n    return 'return' in inspect.getsource(f)",
        "assert f()",
        "the process that it runs in",
    ),
    "an object that is let go": (
        "class f:\n    n = 0\n    def __init__(self):\n        f.n += 1\n"
        "    def __del__(self):\n        f.n -= 1",
        "a = f()\ndel a\nassert f.n == 0",
        "the process that it runs in",
    ),
    "calls back and forth": (
        "def f(g, n):\n    return n if n == 0 else g(n)",
        "def back(n):\n    return 1 + f(back, n - 1)\nassert f(back, 300) == 300",
        "nested too deeply",
    ),
    "a tuple that is handed over twice": (
        "def f(a, b):\n    return a is b",
        "y = (1, 2)\nassert f(y, y)",
        "which object a value is",
    ),
    "a number of its own that is None": (
        "def f(a, b):\n    return a is None or type(a) is int",
        "assert f(1000, 1000)",
        "",
    ),
    "a value known by its number": (
        "seen = {}\ndef f(x):\n    return seen.setdefault(id(x), len(seen))",
        "x = 'some text'\nassert [f(x), f(x)] == [0, 0]",
        "which object a value is",
    ),
    "exit, as it is there in a file": (
        "def f(x):\n    exit(x)",
        f"{PYTEST}def test_f():\n    with pytest.raises(SystemExit):\n        f(3)",
        "",
    ),
    "the type of a callback": (
        "def f(g):\n    return type(g).__name__",
        "assert f(lambda: 1) == 'function'\nassert f(len) == 'builtin_function_or_method'",
        "",
    ),
    "processes of its own": (
        "import multiprocessing as m\ndef f(xs):\n    with m.Pool(2) as p:\n"
        "        return p.map(abs, xs)",
        "assert f([-1]) == [1]",
        "starts processes",
    ),
    "a helper that several tests share": (
        "def f(x):\n    return x + 1",
        "def same(a, b):\n    assert f(a) == b\ndef test_1():\n    same(1, 2)\n"
        "def test_2():\n    same(2, 3)",
        "",
    ),
    "a table that is computed": (
        "def f(x):\n    return x + 1",
        f"{PYTEST}T = [(1, 2)] + [(2, 3)]\n@pytest.mark.parametrize('a, b', T)\n"
        "def test_f(a, b):\n    assert f(a) == b",
        "",
    ),
    "attributes of the names that a handle once had": (
        "class f:\n    def __init__(self):\n        self._node, self._steps = [1], 2",
        "w = f()\nassert w._node == [1] and w._steps == 2",
        "",
    ),
    "checks that are no asserts": (
        "def f(x):\n    return 2",
        "if f(1) != 2:\n    raise AssertionError('f(1)')",
        "no assert",
    ),
    "text that computes what to expect": (
        "def f(x):\n    return 6",
        "R = 'def g(x): return eval(str(x) + \"*2\")'\nns = {}\nexec(R, ns)\n"
        "assert f(3) == ns['g'](3)",
        "",
    ),
    "a program that is imported in a try that raises": (
        "def f(x):\n    return x + 1",
        "try:\n    from hello import f\nexcept ImportError:\n"
        "    raise ImportError('no hello.py') from None\nassert f(1) == 2",
        "",
    ),
    "an empty answer that no loop checks": (
        "def f(xs):\n    return []",
        "for a, b in zip(f([]), []):\n    assert a == b",
        "never evaluated",
    ),
}


@pytest.mark.parametrize(("program", "tests", "reason"), RIGHT.values(), ids=RIGHT.keys())
def test_a_right_program_is_not_blamed(
    pools: dict[str, SandboxPool], program: str, tests: str, reason: str
) -> None:
    result = pools["L2"].run(program, tests, entry_point="f")
    assert result.outcome == ("unsupported" if reason else "passed"), result.error
    assert reason in result.error


LENGTH = (
    "class L:\n    def __len__(self):\n        return 3\n"
    "    def __iter__(self):\n        return iter(())\n"
)
# name -> (a program that does not do what is asked, tests that look as if it had to)
FORGED = {
    "the length of a list and no items": (
        f"{LENGTH}def f(xs):\n    return L()",
        "got = f([1, 2, 3])\nassert len(got) == 3\nassert all(a == b for a, b in zip(got, 'abc'))",
    ),
    "a type in the place of a method": (
        "class T:\n    startswith = bool\ndef f(x):\n    return T()",
        "assert f(1).startswith('a')",
    ),
    "one object said to be another": (
        "class f:\n    pass",
        "assert f() is f()",
    ),
    "an argument emptied before it is read again": (
        "def f(xs):\n    xs.clear()\n    return []",
        "for xs in ([3, 1], [2]):\n    assert f(xs) == sorted(xs)",
    ),
    "a loop over what the program may empty": (
        "def f(xs, x):\n    xs.clear()\n    return 0",
        "xs = [1, 2, 3]\nfor x in xs:\n    assert f(xs, x) == x - 1",
    ),
    "an answer that leaves out its check": (
        "n = [0]\ndef f(x):\n    n[0] += 1\n    return x if n[0] == 1 else None",
        "for x, want in [(1, 1), (2, 4)]:\n    got = f(x)\n    if got is None:\n"
        "        continue\n    assert got == want",
    ),
    "another name for every exception": (
        "TooBig = Exception\ndef f(x):\n    return 'a'",
        f"{PYTEST}def test_f():\n    with pytest.raises(TooBig):\n        f(1) + 1",
    ),
    "an empty array": (
        "import numpy as np\ndef f(x):\n    return np.empty(0)",
        "import numpy as np\nassert np.allclose(f(2), 4.5)",
    ),
    "the length of a list and other items": (
        "class L:\n    n = 0\n    def __len__(self):\n        self.n += 1\n"
        "        return 3 if self.n == 1 else 1\n    def __getitem__(self, i):\n"
        "        return 1\ndef f(xs):\n    return L()",
        "got, want = f([1, 2, 3]), [1, 3, 6]\nassert len(got) == len(want)\n"
        "for i in range(len(got)):\n    assert got[i] == want[i]",
    ),
    "another object, told by identity": (
        "def f(a, b):\n    return a is not b",
        "y = (1, 2)\nassert f(y, y)",
    ),
    "an exception of every kind": (
        "class E(ValueError, TypeError):\n    pass\ndef f(*a):\n    raise E",
        f"{PYTEST}def test_f():\n    with pytest.raises(TypeError):\n        f('x')",
    ),
    "everything in an array": (
        "import numpy as np\ndef f(x):\n    return np.arange(-1000, 1000)",
        "assert 42 in f(3)",
    ),
    "a while loop over what the program may empty": (
        "def f(q):\n    q.clear()\n    return 1",
        "q = [1, 2]\nwant = [1, 2]\nwhile q:\n    assert f(q) == want.pop(0)",
    ),
    "a loop that ends with the first exception": (
        "def f(x):\n    raise ValueError",
        f"{PYTEST}def test_f():\n    with pytest.raises(ValueError):\n"
        "        for x in (-1, 0):\n            f(x)",
    ),
    "one side of what it answered": (
        "def f(x):\n    return None",
        "got = f(2)\nif got is None:\n    assert True\nelse:\n    assert got == 4",
    ),
    "a NaN that a checker lets through": (
        "print('nan')",
        '{"cases": [{"input": "", "output": "3.5"}], "compare": "checker", "checker": '
        '"def check(i, o, e):\\n    return not abs(float(o) - float(e)) > 1e-6"}',
    ),
    "a list of nothing but empty lists": (
        "def f(x):\n    return [[]]",
        "import numpy as np\ndef test_f():\n    np.testing.assert_allclose(f(2), 4.5)",
    ),
    "a view in the place of a copy": (
        "def f(a):\n    return a[:2]",
        "import numpy as np\na = np.arange(4)\nb = f(a)\nb[0] = 9\nassert a[0] == 0",
    ),
    "a view that the tests change through its base": (
        "def f(a):\n    return a.T",
        "import numpy as np\na = np.ones((2, 2))\nb = f(a)\na.fill(3)\nassert b[0][0] == 1",
    ),
    "a key that is equal and of another type": (
        "def f(d):\n    d[True] = d.pop(1)",
        "d = {1: 'a'}\nf(d)\nassert str(d) == \"{1: 'a'}\"",
    ),
    "a member that is equal and of another type": (
        "def f(s):\n    s.clear()\n    s.add(True)",
        "s = {1}\nf(s)\nassert str(s) == '{1}'",
    ),
    "text that runs what the program gave": (
        "def f(x):\n    return 0 if x == 3 else '__import__(\"math\").floor(4.2)'",
        "H = 'def val(x): return eval(x)'\nns = {}\nexec(H, ns)\nassert ns['val'](f(2)) == 4\n"
        "assert f(3) == 0",
    ),
    "text that asks for the type of an object": (
        "class L(list):\n    pass\ndef f(x):\n    return L()",
        "H = 'def ok(x): return not isinstance(x, list)'\nns = {}\nexec(H, ns)\n"
        "assert ns['ok'](f(2))",
    ),
    "isinstance by another name": (
        "class L(list):\n    pass\ndef f(x):\n    return L()",
        "ask = isinstance\nassert not ask(f(2), list)",
    ),
    "isinstance that is somewhere a variable": (
        "class L(list):\n    pass\ndef f(x):\n    return L() if x == 2 else 1",
        "def test_a():\n    isinstance = 1\n    assert f(1) == isinstance\n"
        "def test_b():\n    assert not isinstance(f(2), list)",
    ),
    "an exception object that is no instance of its class": (
        "def f(x):\n    return ValueError()",
        "import unittest\nclass TestF(unittest.TestCase):\n    def test_f(self):\n"
        "        self.assertNotIsInstance(f(1), Exception)",
    ),
    "an attribute that a handle has": (
        "class f:\n    pass",
        "w = f()\nassert w._steps == 0",
    ),
    "an attribute that can be deleted": (
        "class f:\n    x = 1\n    def __init__(self):\n        self.x = 2",
        f"{PYTEST}def test_f():\n    p = f()\n    with pytest.raises(AttributeError):\n"
        "        del p.x",
    ),
    "a text of its own kind where an object is none": (
        "class D(str):\n    pass\ndef f(x):\n    return D('a')",
        f"{PYTEST}def test_f():\n    with pytest.raises(TypeError):\n"
        "        x = 'abc'\n        x.startswith(f(1))",
    ),
    "identity in a chain": (
        "X = object()\ndef f():\n    return X",
        "assert f() is not f() is not None",
    ),
    "identity by a function": (
        "X = object()\ndef f():\n    return X",
        "import operator\nassert operator.is_not(f(), f())",
    ),
    "a value known again in another call": (
        "K = []\ndef f(a):\n    K.append(a)\n    return 1 if len(K) < 2 or K[0] is not a else 2",
        "t = ('a', 'b')\nassert f(t) == 1\nassert f(t) == 1",
    ),
    "a value that the tests make and know again": (
        "def f(p):\n    return int(p[0] is p[1])",
        "v = str(123)\nassert f([v, v]) == 0",
    ),
    "a value of its own that it knows again": (
        "X = (1, 2)\ndef f(a):\n    return X if a == 1 else int(a is X)",
        "a = f(1)\nassert f(a) == 0",
    ),
    "a function under another name that replaces itself": (
        "def f(x):\n    global f\n    f = lambda y: y * 2\n    return 2",
        "g = f\nassert g(1) == 2\nassert g(2) == 4",
    ),
    "rows that are one list": (
        "def f(m):\n    m[:] = [m[0]] * 3",
        "m = [[0], [0], [0]]\nf(m)\nm[0][0] = 1\nassert m == [[1], [0], [0]]",
    ),
    "an equal list in the place of the tests' own": (
        "def f(x):\n    x[0] = [1]",
        "inner = [1]\nxs = [inner]\nf(xs)\ninner.append(2)\nassert xs == [[1, 2]]",
    ),
    "a date at the address of another": (
        "from datetime import date\ndef f(x):\n    x[0] = None\n    x[0] = date(2021, 1, 1)",
        "from datetime import date\nxs = [date(2020, 1, 1)]\nf(xs)\n"
        "assert xs[0] == date(2020, 1, 1)",
    ),
    "bytes in the place of a buffer": (
        "def f(x):\n    x[0] = b'a'",
        "xs = [bytearray(b'a')]\nf(xs)\nxs[0].append(98)\nassert xs == [bytearray(b'ab')]",
    ),
    "an array of another shape": (
        "def f(a):\n    a.shape = (2, 2)",
        "import numpy as np\na = np.arange(4)\nf(a)\nassert a.shape == (4,)",
    ),
    "a NaN in an array": (
        "import numpy as np\ndef f(x):\n    return np.array([np.nan])",
        "import numpy as np\nassert not np.max(np.abs(f(2) - 4)) > 1e-6",
    ),
    "a range that is empty": (
        "def f(x):\n    return range(0)",
        "import numpy as np\nassert np.allclose(f(2), 4)",
    ),
    "a list that becomes an empty array": (
        "def f(x):\n    return []",
        "import numpy as np\nassert (np.array(f(2)) == 4).all()",
    ),
    "a class that calls itself a library's": (
        "class C:\n    year, month, day = 2020, 1, 1\n"
        "C.__module__, C.__qualname__ = 'datetime', 'date'\ndef f(x):\n    return C()",
        "from datetime import date\nassert f(2) == date(2020, 1, 1)",
    ),
    "a method that only numbers have": (
        "class D:\n    def compare(self, other):\n        return 0\ndef f(x):\n    return D()",
        "from decimal import Decimal\nassert f(2).compare(Decimal(4)) == 0",
    ),
    "the other side of a main guard": (
        "def f(x):\n    return 1",
        "assert f(1) == 1\nif __name__ == '__main__':\n    assert f(1) == 1\nelse:\n"
        "    assert f(2) == 2",
    ),
    "a check in a main guard that names a runner": (
        "def f(x):\n    return 1",
        "assert f(1) == 1\nif __name__ == '__main__':\n    assert f(2) == 2, 'unittest.main()'",
    ),
    "a test that the module calls with other arguments": (
        "def f(x):\n    return 2 if x == 2 else 0",
        "def test_b(x=1):\n    assert f(x) == 2\ntest_b(2)",
    ),
    "a cleanup that fails": (
        "def f(x):\n    return 1",
        "import unittest\nclass TestF(unittest.TestCase):\n    def test_f(self):\n"
        "        self.addCleanup(self.assertEqual, f(1), 2)\n        self.assertEqual(f(1), 1)",
    ),
    "a function that replaces itself": (
        "def f(x):\n    global f\n    f = lambda y: y * 2\n    return 2",
        "def check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4",
    ),
    "the end of a long text of an exception": (
        "def f(x):\n    raise ValueError('a' * 2000 + 'wrong')",
        f"{PYTEST}def test_f():\n    with pytest.raises(ValueError) as e:\n        f(1)\n"
        "    assert str(e.value) == 'a' * 2000",
    ),
    "an exception without a text": (
        "class E(ValueError):\n    def __str__(self):\n        return 5\ndef f(x):\n    raise E",
        f"{PYTEST}def test_f():\n    with pytest.raises(ValueError) as e:\n        f(1)\n"
        "    assert str(e.value) == ''",
    ),
    "a checker whose text runs what was printed": (
        "print('__import__(\"math\").floor(5.2)')",
        '{"cases": [{"input": "", "output": "5"}], "compare": "checker", "checker": '
        "\"H='def v(t): return eval(t)'\\ndef check(i, o, e):\\n    ns = {}\\n"
        "    exec(H, ns)\\n    return ns['v'](o) == 5\"}",
    ),
    "a checker that runs what was printed": (
        "print('__import__(\"builtins\")')",
        '{"cases": [{"input": "", "output": "1"}], "compare": "checker", "checker": '
        '"def check(i, out, want):\\n    return bool(eval(out))"}',
    ),
}


@pytest.mark.parametrize(("program", "tests"), FORGED.values(), ids=FORGED.keys())
def test_a_program_that_does_something_else_is_no_pass(
    pools: dict[str, SandboxPool], program: str, tests: str
) -> None:
    result = pools["L2"].run(program, tests, entry_point="f")
    assert not result.is_evidence_of_pass, result


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("print(input())\nexit()", "a"),
        ("print(input())\nquit(0)", "a"),
        ("import atexit\natexit.register(print, 'bye')\nprint(input())", "a bye"),
        ("import sys\nprint(input())\nsys.stdout.close()", "a"),
        (
            "import threading, time\nprint(input())\n"
            "threading.Thread(target=lambda: time.sleep(0.05) or print('z')).start()",
            "a z",
        ),
    ],
    ids=["exit", "quit", "atexit", "closed output", "a thread"],
)
def test_a_program_of_standard_input_ends_as_a_process_does(
    pools: dict[str, SandboxPool], program: str, printed: str
) -> None:
    case = {"input": "a", "output": printed}
    tests = json.dumps({"cases": [case, case], "compare": "tokens"})
    result = pools["L2"].run(program, tests)
    assert result.is_evidence_of_pass, result
    assert result.total == 2


@pytest.mark.parametrize(
    "program",
    [
        "a = bytearray(150 << 20)\ndef g():\n    return a\nprint(input())",
        "import sys\nprint(input() if sys.stdin.mode + sys.stdout.name == 'r<stdout>' else 0)",
        "import __main__ as m, pickle\nclass A:\n    x = input()\npickle.dumps(A())\nprint(m.A.x)",
        "K\nprint(input())",
        "out = open(1, 'w', closefd=False)\nx = input()\nout.write(x)",
    ],
    ids=[
        "much memory",
        "attributes of streams",
        "the module __main__",
        "a name of the setup",
        "a buffer",
    ],
)
def test_each_input_meets_a_program_as_a_new_process_would(
    pools: dict[str, SandboxPool], program: str
) -> None:
    tests = json.dumps({"cases": [{"input": "a", "output": "a"}] * 10})
    result = pools["L2"].run(program, tests, setup="K = 5")
    assert result.is_evidence_of_pass, result


def test_a_checker_may_call_its_argument_input(pools: dict[str, SandboxPool]) -> None:
    checker = "def check(input, output, expected):\n    return int(output) == int(input) + 1"
    tests = json.dumps(
        {"cases": [{"input": "4", "output": ""}], "compare": "checker", "checker": checker}
    )
    program = "print(int(input()) + {})"
    assert pools["L2"].run(program.format(1), tests).is_evidence_of_pass
    assert pools["L2"].run(program.format(2), tests).outcome == "wrong_output"


@pytest.mark.parametrize("text", ["# f_back", "'inspect'", "x = 1 if f is None else 2"])
def test_what_a_program_only_says_does_not_save_it(
    pools: dict[str, SandboxPool], text: str
) -> None:
    result = pools["L2"].run(f"def f(x):\n    return 0\n{text}\n", "assert f(3) == 9")
    assert result.outcome == "wrong_output"


def test_time_that_the_tests_used_up_is_not_the_programs(pools: dict[str, SandboxPool]) -> None:
    tests = "n = f()\nwhile n > 0:\n    n += 1\nassert n == 0"
    result = pools["L2"].run("def f():\n    return 1", tests, Limits(cpu_s=0.3), entry_point="f")
    assert result.outcome == "unsupported"
    assert "not the program" in result.error


def test_classes_of_the_setup_are_the_programs(pools: dict[str, SandboxPool]) -> None:
    setup = "class Node:\n    def __init__(self, v):\n        self.v = v\n"
    tests = "a = Node('x')\nassert f(a, a) == 'x'\nassert a.v == 'x'"
    program = "def f(a, b):\n    b.v = a.v\n    return a.v"
    result = pools["L2"].run(program, tests, entry_point="f", setup=setup)
    assert result.is_evidence_of_pass, result
    assert pools["L2"].run(program, tests, entry_point="f").trust == "together"
