"""What a copy of a value, a function or an interpreter shows: as in Python, or unsupported.

Each of these was judged wrongly once: a wrong program passed, or a right one was blamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from codefavor.cli.main import app
from codefavor.errors import DataError
from codefavor.sandbox import SandboxPool

PASSED, WRONG, ERROR, UNSUPPORTED = "passed", "wrong_output", "runtime_error", "unsupported"

GO = "def go(fn):\n    try:\n        fn()\n    except {} as e:\n        return {}"
BAD = "from solution import go\ndef bad():\n    {}\nassert go(bad) {}"
BUS = "class Bus:\n    on = None\n    def fire(self, x):\n        return self.on(x)\n"
# name -> (program, tests, outcome)
SPLIT = {
    "how large a value is": (
        "import sys\ndef f(x):\n    return sys.getsizeof(x)",
        "from solution import f\nassert f([1, 2, 3, 4, 5]) == 104", UNSUPPORTED,
    ),
    "whose memory arrays have": (
        "import numpy as np\ndef f(a, b):\n    return bool(np.shares_memory(a, b))",
        "import numpy as np\nfrom solution import f\na = np.ones(3)\nassert not f(a, a[1:])",
        UNSUPPORTED,
    ),
    "an array of memory that is gone": (
        "import numpy as np\nclass A:\n    def __init__(self):\n"
        "        self.__array_interface__ = dict(np.ones(3).__array_interface__)\n"
        "def f():\n    return np.array(A())",
        "from solution import f\nassert f().shape == (3,)", UNSUPPORTED,
    ),
    "a function that becomes a method": (
        BUS, "from solution import Bus\nBus.on = lambda x: x + 1\nassert Bus().fire(3) == 4",
        UNSUPPORTED,
    ),
    "a function that becomes a method by setattr": (
        f"{BUS}def put(name, fn):\n    setattr(Bus, name, fn)",
        "from solution import Bus, put\nput('on', lambda x: x + 1)\nassert Bus().fire(3) == 4",
        UNSUPPORTED,
    ),
    "a function in the body of a class": (
        "def make(fn):\n    class H:\n        call = fn\n    return H()",
        "from solution import make\nassert make(lambda x: x + 1).call(2) == 3",
        UNSUPPORTED,
    ),
    "a method that is given its object": (
        "class A:\n    v = 3\ndef use():\n    return A().get()",
        "from solution import A, use\nA.get = lambda self: self.v\nassert use() == 3",
        UNSUPPORTED,
    ),
    "a function of an object": (
        BUS, "from solution import Bus\nb = Bus()\nb.on = lambda x: x + 1\nassert b.fire(3) == 4",
        PASSED,
    ),
    "a built-in function never becomes a method": (
        BUS, "from solution import Bus\ngot = []\nBus.on = got.append\nBus().fire(3)\n"
        "assert got == [3]",
        PASSED,
    ),
    "a built-in function among others": (
        "def agg(xs, fn):\n    return -1 if fn in (min, max) else fn(xs)",
        "from solution import agg\nassert agg([1, 2], max) == 2",
        UNSUPPORTED,
    ),
    "a built-in function that is equal": (
        "def agg(xs, fn):\n    return len(xs) if fn == len else 0",
        "from solution import agg\nassert agg([1, 2], len) == 2",
        UNSUPPORTED,
    ),
    "a built-in function by its index": (
        "import operator\ndef name(f):\n    return [operator.add, operator.sub].index(f)",
        "import operator\nfrom solution import name\nassert name(operator.sub) == 1",
        UNSUPPORTED,
    ),
    "a built-in function that is no data": (
        "def agg(xs, fn):\n    return fn(xs) if fn not in (None, 'len', 3) else 0",
        "from solution import agg\nassert agg([1, 2], len) == 2",
        PASSED,
    ),
    "a class of a library": (
        "from decimal import Decimal\ndef f():\n    return Decimal",
        "from decimal import Decimal\nfrom solution import f\nassert f() is Decimal",
        UNSUPPORTED,
    ),
    "another class of a library": (
        "from collections import deque\nclass P:\n    kind = deque",
        "from collections import deque\nfrom solution import P\nassert P.kind is not deque",
        UNSUPPORTED,
    ),
    "a built-in class that does not cross": (
        "def f():\n    return map",
        "from solution import f\nassert f() is map",
        UNSUPPORTED,
    ),
    "an exception of a library": (
        "import decimal\ndef f():\n    return decimal.InvalidOperation",
        "from decimal import InvalidOperation\nfrom solution import f\n"
        "assert f() != InvalidOperation",
        UNSUPPORTED,
    ),
    "an exception of a library that is another": (
        "import json\ndef f():\n    return json.JSONDecodeError",
        "from json import JSONDecodeError\nfrom solution import f\n"
        "assert f() is not JSONDecodeError",
        UNSUPPORTED,
    ),
    "an exception of a library as a key": (
        "import decimal\ndef f():\n    return decimal.InvalidOperation",
        "from decimal import InvalidOperation\nfrom solution import f\n"
        "assert f() not in {InvalidOperation: 1}",
        UNSUPPORTED,
    ),
    "a class that is int": (
        "def f():\n    return int", "from solution import f\nassert f() is int", PASSED
    ),
    "a class of the program's own": (
        "class E(Exception):\n    pass\ndef f():\n    return E",
        "from solution import E, f\nassert f() is E",
        PASSED,
    ),
    "a name that is None": ("f = None", "from solution import f\nassert f is not None", WRONG),
    "a fraction that is not reduced": (
        "from fractions import Fraction\ndef f():\n    return Fraction(2, 4, _normalize=False)",
        "from fractions import Fraction\nfrom solution import f\nassert f() == Fraction(1, 2)",
        UNSUPPORTED,
    ),
    "an attribute of a Counter": (
        "from collections import Counter\ndef f():\n    c = Counter('aab')\n    c.label = 'x'\n"
        "    return c",
        "from solution import f\nassert f().label == 'x'",
        PASSED,
    ),
    "a method of a Counter's own": (
        "from collections import Counter\ndef f():\n    c = Counter('aab')\n"
        "    c.most_common = lambda n: []\n    return c",
        "from solution import f\nassert f().most_common(1) == [('a', 2)]",
        WRONG,
    ),
    "an attribute of a dict that is handed over": (
        "def f(d):\n    return getattr(d, 'name', None)",
        "from collections import OrderedDict\nfrom solution import f\nd = OrderedDict()\n"
        "d.name = 'q'\nassert f(d) is None",
        UNSUPPORTED,
    ),
    "an attribute of a Counter that both hold": (
        "def f(c):\n    c.total_ = 5",
        "from collections import Counter\nfrom solution import f\nc = Counter(a=1)\nf(c)\n"
        "assert c.total_ == 5",
        UNSUPPORTED,
    ),
    "a text that numpy cuts": (
        "import numpy as np\ndef f():\n    return np.str_('a\\0')",
        "from solution import f\nassert f() == 'a'",
        UNSUPPORTED,
    ),
    "bytes that numpy cuts": (
        "import numpy as np\ndef f():\n    return [np.bytes_(b'a\\0')]",
        "from solution import f\nassert f() == [b'a\\0']",
        UNSUPPORTED,
    ),
    "metadata of an array": (
        "import numpy as np\ndef f():\n    kind = np.dtype('i4', metadata={'u': 1})\n"
        "    return np.array([1], dtype=kind)",
        "from solution import f\nassert f().dtype.metadata == {'u': 1}",
        UNSUPPORTED,
    ),
    "the file of an error": (
        GO.format("OSError", "e.filename"),
        BAD.format("raise FileNotFoundError(2, 'no', 'p.txt')", "== 'p.txt'"),
        PASSED,
    ),
    "the text of an error with a file": (
        GO.format("OSError", "str(e)"),
        BAD.format("raise FileNotFoundError(2, 'no', 'p.txt')", "== \"[Errno 2] no: 'p.txt'\""),
        PASSED,
    ),
    "the cause of an error": (
        GO.format("ValueError", "e.__cause__"),
        BAD.format("raise ValueError('x') from KeyError('k')", "is None"),
        UNSUPPORTED,
    ),
    "a context that is suppressed": (
        GO.format("ValueError", "e.__suppress_context__"),
        BAD.format("raise ValueError('x') from None", "is True"),
        UNSUPPORTED,
    ),
    "a cause that nobody looks at": (
        GO.format("ValueError", "str(e)"),
        BAD.format("raise ValueError('x') from KeyError('k')", "== 'x'"),
        PASSED,
    ),
    "the name of an attribute that is not there": (
        GO.format("AttributeError", "e.name"), BAD.format("(3).foo", "is None"), UNSUPPORTED,
    ),
    "an attribute that is not there": (
        GO.format("AttributeError", "'no'"), BAD.format("(3).foo", "== 'no'"), PASSED,
    ),
    "the module of an error": (
        GO.format("ImportError", "e.name"),
        BAD.format("raise ImportError('m', name='q')", "== 'q'"),
        UNSUPPORTED,
    ),
    "an attribute of an error": (
        GO.format("ValueError", "vars(e)"),
        BAD.format("e = ValueError('x')\n    e.code = 5\n    raise e", "== {}"),
        UNSUPPORTED,
    ),
    "an error that comes twice": (
        "def go(fn):\n    errors = []\n    for i in range(2):\n        try:\n            fn()\n"
        "        except ValueError as e:\n            errors.append(e)\n"
        "    return len(set(errors))",
        "from solution import go\nE = ValueError('x')\ndef bad():\n    raise E\n"
        "assert go(bad) == 2",
        UNSUPPORTED,
    ),
    "a name that is given the answer": (
        "def f(x):\n    return x + 1", "f = f(3)\nassert f == 4", PASSED,
    ),
    "a name that is given a wrong answer": (
        "def f(x):\n    return x + 1", "f = f(3)\nassert f == 5", WRONG,
    ),
    "a name that a loop is given": (
        "def f(x):\n    return x + 1", "for f, e in [(f(1), 2)]:\n    assert f == e", PASSED,
    ),
    "names that `import *` leaves out": (
        "__all__ = ['g']\ndef f():\n    return 1\ndef g():\n    return 2",
        "from solution import *\nassert f() == 1",
        UNSUPPORTED,
    ),
    "names that `import *` gives": (
        "__all__ = ['f']\ndef f():\n    return 1\ndef g():\n    return 2",
        "from solution import *\nassert f() == 1",
        PASSED,
    ),
    "an underscore, which `import *` leaves out": (
        "def _f():\n    return 1", "from solution import *\nassert _f() == 1", UNSUPPORTED,
    ),
    "names that a module makes up": (
        "def __getattr__(name):\n    return 5", "from solution import LIMIT\nassert LIMIT == 5",
        UNSUPPORTED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "tests", "outcome"), SPLIT.values(), ids=SPLIT.keys())
def test_values_names_and_functions(
    pools: dict[str, SandboxPool], program: str, tests: str, outcome: str
) -> None:
    result = pools["L2"].run(program, tests, entry_point="" if "import" in tests else "f")
    assert result.outcome == outcome, result


LIMIT = "import sys\nn = int(input())\nif n == 1:\n    {}\n{}\n"
DEEP = "def r(n):\n    return 0 if n == 0 else 1 + r(n - 1)\nprint(r(n * 1000))"
# name -> (program, [(input, output), ...], outcome)
SCRIPTS: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    "a return before the end of a line": ("print(len(input()))", [("ab\r\n", "3")], PASSED),
    "a return of its own": ("print(len(input()))", [("a\rb", "3")], PASSED),
    "its directory": ("import os\nprint(os.listdir())", [("", "[]")] * 2, PASSED),
    "a file that is called stdin": (
        "print(input() + open('stdin', 'a+').read())", [("a", "a")] * 2, PASSED
    ),
    "a file that is called stdout": (
        "open('stdout', 'w').write('7')", [("", "7")], WRONG
    ),
    "an end that is False": ("import sys\nprint(1)\nsys.exit(False)", [("", "1")], PASSED),
    "no standard output at the end": (
        "import sys\nprint(input())\nsys.stdout = None", [("1", "1"), ("2", "2")], PASSED),
    "an end by 256": ("import sys\nprint(1)\nsys.exit(256)", [("", "1")], PASSED),
    "an end by 255": ("import sys\nprint(1)\nsys.exit(255)", [("", "1")], ERROR),
    "an end by True": ("import sys\nprint(1)\nsys.exit(True)", [("", "1")], ERROR),
    "the builtins of the main module": ("print(__builtins__.len([1]))", [("", "1")], PASSED),
    "exit as text": (
        "print(exit)", [("", "Use exit() or Ctrl-D (i.e. EOF) to exit")], PASSED
    ),
    "a limit of recursion that one case sets": (
        LIMIT.format("sys.setrecursionlimit(5000)", DEEP), [("1", "1000"), ("2", "2000")], ERROR
    ),
    "a context that one case sets": (
        LIMIT.format(
            "from decimal import getcontext\n    getcontext().prec = 5",
            "from decimal import Decimal\nprint(Decimal(1) / 3)",
        ),
        [("1", "0.33333"), ("2", "0.33333")],
        WRONG,
    ),
    "a handler that one case sets": (
        LIMIT.format(
            "import signal\n    signal.signal(2, signal.SIG_IGN)",
            "import signal\nprint(signal.getsignal(2) == signal.SIG_IGN)",
        ),
        [("1", "True"), ("2", "True")],
        WRONG,
    ),
    "a variable that one case sets": (
        "import os\nn = input()\nprint(os.environ.get('Q', 'no'))\nos.environ['Q'] = n",
        [("1", "no"), ("2", "no")],
        PASSED,
    ),
    "a builtin that one case sets": (
        "import builtins\nprint(len([1]))\nbuiltins.len = lambda x: 99",
        [("", "1")] * 2,
        PASSED,
    ),
    "a library that one case changes": (
        "import math\nprint(math.floor(2.5))\nmath.floor = lambda x: 99",
        [("", "2")] * 2,
        UNSUPPORTED,
    ),
    "a library that one case makes right": (
        "import string\nprint(getattr(string, 'n', 0))\nstring.n = 1",
        [("", "0"), ("", "1")],
        UNSUPPORTED,
    ),
    "workers that nobody shut down": (
        "from concurrent.futures import ThreadPoolExecutor as T\nT(2).submit(print, 1)",
        [("", "1")] * 2,
        PASSED,
    ),
    "a thread that prints later": (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "print(1)",
        [("", "1")] * 2,
        UNSUPPORTED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "cases", "outcome"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_programs_of_standard_input(
    pools: dict[str, SandboxPool], program: str, cases: list[tuple[str, str]], outcome: str
) -> None:
    spec = [{"input": given, "output": wanted} for given, wanted in cases]
    result = pools["L2"].run(program, json.dumps({"cases": spec, "compare": "lines"}))
    assert result.outcome == outcome, result


CHECKERS = {
    "an instance of float": ("1.5", "isinstance(float(output), float)", PASSED),
    "the type of a float": ("1.5", "type(float(output)) == float", UNSUPPORTED),
    "a float of hexadecimal digits": ("0x1p3", "float.fromhex(output.strip()) == 8", PASSED),
    "an array of floats": (
        "1 2", "bool((__np.array(output.split(), dtype=float) == [1, 2]).all())", UNSUPPORTED
    ),
    "what is no number": ("nan", "not abs(float(output) - 1) > 0.1", UNSUPPORTED),
    "what is no number, in a map": ("nan", "max(map(float, output.split())) != 1", UNSUPPORTED),
    "what is no decimal": ("nan", "not Decimal(output) == 1", UNSUPPORTED),
    "what cannot be read": ("x", "int(output) == 1", WRONG),
    "a name that is not there": ("1", "int(outptu) == 1", UNSUPPORTED),
    "what fails on any output": ("1", "int(expected) == 1", UNSUPPORTED),
}  # fmt: skip


@pytest.mark.parametrize(("printed", "says", "outcome"), CHECKERS.values(), ids=CHECKERS.keys())
def test_a_checker_that_fails_by_itself_blames_nobody(
    pools: dict[str, SandboxPool], printed: str, says: str, outcome: str
) -> None:
    checker = (
        "import numpy as np\nfrom decimal import Decimal\ndef check(input, output, expected):\n"
        f"    return {says.replace('__np', 'np')}"
    )
    wanted = "" if "expected" not in says else "one"
    spec: dict[str, Any] = {"cases": [{"input": "", "output": wanted}]}
    tests = json.dumps({**spec, "compare": "checker", "checker": checker})
    result = pools["L2"].run(f"print({printed!r})", tests)
    assert result.outcome == outcome, result


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", "no text in UTF-8"),
        (b"", "they are empty"),
        (b"# nothing\n", "they are empty"),
        (b'{"cases": []}', "there are no cases"),
        (b'{"cases": 5}', "there are no cases"),
        (b'{"cases": [{"input": "", "output": ""}, {"input": "a"}]}', "case 2 has not"),
        (b'{"cases": [{"input": "", "output": ""}', "do not parse"),
        (b'{"cases": [{"input": "", "output": ""}], "compare": "words"}', "comparison 'words'"),
    ],
)
def test_explain_says_what_is_wrong_with_a_file(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "tests.py"
    path.write_bytes(text)
    result = CliRunner().invoke(app, ["sandbox", "explain", str(path)])
    assert isinstance(result.exception, DataError), result
    assert says in str(result.exception)
