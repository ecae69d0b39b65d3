"""Where two processes would not do what one does, nobody is blamed and nothing is passed.

Each program does what plain Python says it should; each of these tests passes in one process.
"""

from __future__ import annotations

import json

import pytest

from codefavor.sandbox import Limits, SandboxPool

PYTEST = "import pytest\n"
LOG = (
    "log = []\ndef numbers():\n    try:\n        yield 1\n        yield 2\n    finally:\n"
    "        log.append('closed')\ndef f():\n    return list(log)\n"
)
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
        "how long objects live",
    ),
    "calls back and forth": (
        "def f(g, n):\n    return n if n == 0 else g(n)",
        "def back(n):\n    return 1 + f(back, n - 1)\nassert f(back, 300) == 300",
        "the together lane",  # whichever step of the way reaches the limit
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
    "a text known by which object it is": (
        "def f(a, op):\n    return a + 1 if op is 'add' else a - 1",
        "assert f(1, 'add') == 2",
        "which object a value is",
    ),
    "an attribute and a parameter called id": (
        "class U:\n    def __init__(self, id):\n        self.id = id\ndef f(id):\n"
        "    return U(id).id",
        "assert f(3) == 3",
        "",
    ),
    "a type by its class": (
        "def f(x):\n    return type(x) is int or x is NotImplemented or x is ...",
        "assert f(3)",
        "",
    ),
    "numbers of more digits than a text may have": (
        "import sys\nsys.set_int_max_str_digits(0)\ndef f(n):\n    return 10 ** n",
        "assert len(str(f(5000))) == 5001",
        "set_int_max_str_digits",
    ),
    "how arrays are printed": (
        "import numpy as np\nnp.set_printoptions(precision=2)\ndef f():\n"
        "    return np.array([1.23456])",
        "assert str(f()) == '[1.23]'",
        "set_printoptions",
    ),
    "random numbers that the program has sown": (
        "import random\ndef f(s):\n    random.seed(s)",
        "import random\nf(1)\na = random.random()\nf(1)\nassert random.random() == a",
        "seed",
    ),
    "a seed that the tests do not see": (
        "import random\ndef f(s):\n    random.seed(s)\n    return random.random()",
        "assert f(1) == f(1)",
        "",
    ),
    "how numbers are rounded": (
        "from decimal import *\ngetcontext().rounding = ROUND_HALF_UP\ndef f(s):\n"
        "    return Decimal(s)",
        "from decimal import Decimal\nassert f('2.5').quantize(Decimal('1')) == Decimal('3')",
        "getcontext",
    ),
    "a recursion of the tests that the program allows": (
        "import sys\nsys.setrecursionlimit(100000)\ndef f(n):\n    return n",
        "def ref(n):\n    return 0 if n == 0 else 1 + ref(n - 1)\nassert f(20000) == ref(20000)",
        "RecursionError",
    ),
    "an exception with notes": (
        "def f(n):\n    e = ValueError('a')\n    e.__notes__ = ['bad input']\n    raise e",
        f"{PYTEST}def test_f():\n    with pytest.raises(ValueError, match='^a'):\n        f(1)",
        "no text",
    ),
    "a generator that the tests let go": (
        LOG,
        "from solution import numbers, f\ng = numbers()\nassert next(g) == 1\nassert f() == []\n"
        "del g\nassert f() == ['closed']",
        "",
    ),
    "a generator that a loop breaks off": (
        LOG,
        "from solution import numbers, f\nfor x in numbers():\n    break\nassert f() == ['closed']",
        "",
    ),
    "a generator that the tests hold twice": (
        LOG,
        "from solution import numbers, f\ng = numbers()\nh = iter(g)\nnext(h)\ndel g\n"
        "assert f() == []\nassert next(h) == 2",
        "",
    ),
    "a generator in a list that both sides hold": (
        f"{LOG}kept = []\ndef keep():\n    kept.append(numbers())\n    return kept\n"
        "def drop():\n    kept.clear()\n",
        "from solution import keep, drop, f\nk = keep()\nassert next(k[0]) == 1\ndrop()\n"
        "assert f() == ['closed'] and k == []",
        "",
    ),
    "a context that a generator leaves half way": (
        "from contextlib import contextmanager\nn = [0]\n@contextmanager\ndef res():\n"
        "    n[0] += 1\n    try:\n        yield\n    finally:\n        n[0] -= 1\ndef rows():\n"
        "    with res():\n        yield from [1, 2]\ndef f():\n    return n[0]",
        "from solution import rows, f\nassert next(rows()) == 1\nassert f() == 0",
        "",
    ),
    "large objects, one after another": (
        "class f:\n    def __init__(self):\n        self.d = [0] * 5_000_000\n"
        "    def n(self):\n        return len(self.d)",
        "for i in range(60):\n    b = f()\n    assert b.n() == 5_000_000",
        "",
    ),
    "an array in the order of its memory": (
        "def f(a):\n    return a.T",
        "import numpy as np\na = np.arange(6).reshape(2, 3)\n"
        "assert (f(a).ravel('K') == [0, 1, 2, 3, 4, 5]).all()",
        "",
    ),
    "every second item, backwards": (
        "def f(a):\n    return a.strides[0] + int(a[1])",
        "import numpy as np\nassert f(np.arange(6)[::-2]) == -13",
        "",
    ),
    "an array that is spread": (
        "import numpy as np\ndef f(n):\n    return np.broadcast_to(np.array([1, 2]), (n, 2))",
        "import numpy as np\nassert np.array_equal(f(3), [[1, 2]] * 3)",
        "",
    ),
    "a list that is looked at often": (
        "from bisect import bisect_left\ndef f(a, x):\n    return bisect_left(a, x)",
        "data = list(range(100000))\nfor i in range(300):\n    assert f(data, i) == i",
        "",
    ),
    "a list that is kept and looked at often": (
        "class f:\n    def __init__(self, xs):\n        self.xs = xs\n"
        "    def sum(self, a, b):\n        return sum(self.xs[a:b])",
        "xs = list(range(100000))\ns = f(xs)\nfor i in range(300):\n"
        "    assert s.sum(i, i + 2) == 2 * i + 1",
        "",
    ),
    "a table of long rows": (
        "def f(row):\n    return sum(row)",
        "table = [[i] * 5000 for i in range(400)]\nfor row in table:\n"
        "    assert f(row) == sum(row)",
        "",
    ),
    "a large list that either side changes": (
        "def f(a, x):\n    a[x] = -1\n    return sum(a[:3])",
        "data = list(range(5000))\nassert f(data, 1) == 1\ndata[2] = 7\nassert f(data, 0) == 5\n"
        "assert data[:3] == [-1, -1, 7]",
        "",
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
    "memory that an answer takes on the way": (
        "def f(n):\n    return len(b'x' * n) if n < 9 else b'x' * n",
        "assert f(3) == 3\nassert len(f(600 << 20)) == 600 << 20",
        "MemoryError on the way",
    ),
    "an argument that fits into no frame": (
        "def f(s):\n    return len(s)",
        "assert f('a' * (70 << 20)) == 70 << 20",
        "FrameTooLarge on the way",
    ),
    "an argument of a callback that fits into no frame": (
        "def f(g):\n    return g('a' * (70 << 20))",
        "assert f(len) == 70 << 20",
        "FrameTooLarge on the way",
    ),
    "a name that is imported after it has changed": (
        "count = 0\ndef f(x):\n    global count\n    count += 1\n    return x",
        "from solution import f\ndef test_f():\n    assert f(2) == 2\n"
        "    from solution import count\n    assert count == 1",
        "",
    ),
    "the module, which the tests let go": (
        "K = 1\nclass f:\n    def push(self, x):\n        self.top = x\n        return self",
        "from solution import f\na = f()\ndef test_a():\n    import solution\n"
        "    assert solution.K == 1\ndef test_b():\n    a.push(1)\n    assert a.top == 1",
        "",
    ),
    "a generator whose end the tests look at": (
        "def f(log):\n    try:\n        yield 1\n    finally:\n        log.append('closed')",
        "log = []\nassert next(f(log)) == 1\nassert log == ['closed']",
        "at its end",
    ),
    "a generator that ends with what it changes": (
        "def f(log):\n    try:\n        yield 1\n    finally:\n        log.append('closed')",
        "def test_f():\n    log = []\n    for x in f(log):\n        assert x == 1\n"
        "        break\n    assert log == ['closed']",
        "at its end",
    ),
    "a callback at the end of a generator": (
        "def f(done):\n    try:\n        yield 1\n    finally:\n        done('closed')",
        "log = []\nassert next(f(log.append)) == 1\nassert log == ['closed']",
        "let go",
    ),
    "a tuple of a kind of its own in JSON": (
        "from collections import namedtuple\nP = namedtuple('P', 'x')\n"
        "def f():\n    return {'a': P(1)}",
        "import json\nassert json.dumps(f(), default=str) == '{\"a\": [1]}'",
        "a library",
    ),
    "a tuple of a kind of its own in a format": (
        "from collections import namedtuple\nP = namedtuple('P', 'x')\ndef f():\n    return P(1)",
        "assert '%s' % f() == '1'",
        "a library",
    ),
    "a dict with a default of its own": (
        "class f(dict):\n    def __missing__(self, key):\n        return 0",
        "assert {**f(a=1)} == {'a': 1}",
        "",
    ),
    "the class of a callback in a table": (
        "import types\ndef f(g):\n    return {int: 'i', types.FunctionType: 'f'}[type(g)]",
        "assert f(lambda: 0) == 'f'",
        "its type",
    ),
    "a signaling NaN": (
        "from decimal import Decimal\ndef f():\n    return Decimal('sNaN')",
        "assert str(f()) == 'sNaN'",
        "a NaN",
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
    "a text that is another object": (
        "def f(s):\n    return 0 if s is 'hello' else 1",
        "assert f('hello') == 1",
    ),
    "identity of parameters called like classes": (
        "def f(int, str):\n    return 0 if int is str else 1",
        "s = 'hello'\nassert f(s, s) == 1",
    ),
    "identity of a parameter by a method called type": (
        "class N:\n    def type(self, x):\n        return x\ndef f(a, b):\n"
        "    return 0 if N().type(a) is b else 1",
        "s = 'hello'\nassert f(s, s) == 1",
    ),
    "identity of many": (
        "def f(rows):\n    return len(set(map(id, rows)))",
        "w = 'a b'\nassert f([w, w]) == 2",
    ),
    "identity beside a parameter of that name": (
        "def g(id):\n    return id\ndef f(a, b):\n    return 0 if id(a) == id(b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity under another name": (
        "ask = id\ndef f(a, b):\n    return 0 if ask(a) == ask(b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity of the builtins": (
        "import builtins as b\ndef f(x, y):\n    return 0 if b.id(x) == b.id(y) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity that is imported from the builtins": (
        "from builtins import id as ask\ndef f(a, b):\n    return 0 if ask(a) == ask(b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity that is imported under another name": (
        "from operator import is_ as q\ndef f(a, b):\n    return 0 if q(a, b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity by a name in a text": (
        "import operator\ndef f(a, b):\n    return 0 if getattr(operator, 'is_')(a, b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity of builtins that are imported by a text": (
        "def f(a, b):\n    m = __import__('builtins')\n    return 0 if m.id(a) == m.id(b) else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "identity by the comparison of object": (
        "def f(a, b):\n    return 0 if object.__eq__(a, b) is True else 1",
        "t = (1, 2)\nassert f(t, t) == 1",
    ),
    "a context of decimal numbers": (
        "from decimal import *\ngetcontext().prec = 50\ndef f(n):\n    return Decimal(n).sqrt()",
        "assert f(2) ** 2 == 2",
    ),
    "warnings that are errors": (
        "import numpy as np, warnings\nwarnings.simplefilter('error')\ndef f(a):\n"
        "    return np.array([0.0])",
        "import numpy as np\nassert (1 / f(1) == np.inf).all()",
    ),
    "errors of numpy": (
        "import numpy as np\nnp.seterr(all='raise')\ndef f(a):\n    return np.array([0.0])",
        "import numpy as np\nassert (1 / f(1) == np.inf).all()",
    ),
    "the size of a dict that was larger": (
        "def f(n):\n    d = dict.fromkeys(range(5000))\n    for i in range(10, 5000):\n"
        "        del d[i]\n    return d",
        "import sys\nassert sys.getsizeof(f(1)) < 1000",
    ),
    "notes of an exception": (
        "def f(n):\n    e = ValueError('a')\n    e.__notes__ = ['wrong']\n    raise e",
        f"{PYTEST}def test_f():\n    with pytest.raises(ValueError, match='^a$'):\n        f(1)",
    ),
    "an object that the tests should keep no longer": (
        "import weakref\nlive = weakref.WeakSet()\nclass f:\n    def __init__(self):\n"
        "        live.add(self)\n    def n(self):\n        return len(live)",
        "f()\nf()\nassert f().n() == 3",
    ),
    "a generator that is never closed": (
        LOG,
        "from solution import numbers, f\ng = numbers()\nassert next(g) == 1\ndel g\n"
        "assert f() == []",
    ),
    "an array in another order of memory": (
        "def f(a):\n    return a.T",
        "import numpy as np\na = np.arange(6).reshape(2, 3)\n"
        "assert (f(a).ravel('K') == [0, 3, 1, 4, 2, 5]).all()",
    ),
    "an array that must not be changed": (
        "import numpy as np\ndef f(a):\n    b = np.array([3, 1])\n    b.flags.writeable = False\n"
        "    return b",
        "import numpy as np\nb = f(1)\nb.sort()\nassert b.tolist() == [1, 3]",
    ),
    "an argument that must not be changed": (
        "def f(a):\n    a[0] = 5\n    return int(a[0])",
        "import numpy as np\nassert f(np.diag(np.array([[1, 2], [3, 4]]))) == 5",
    ),
    "an argument with gaps seen as another type": (
        "def f(a):\n    return a.view('i4').tolist()",
        "import numpy as np\nassert f(np.array([1, 9, 2, 9])[::2]) == [1, 0, 2, 0]",
    ),
    "an argument that is not contiguous": (
        "def f(a):\n    return a.flags['C_CONTIGUOUS']",
        "import numpy as np\nassert f(np.arange(6).reshape(2, 3).T)",
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
    "a value for which the memory is too small": (
        "def f(x):\n    return 4 if x > 0 else b'x' * (600 << 20)",
        f"{PYTEST}def test_f():\n    assert f(2) == 4\n    with pytest.raises(Exception):\n"
        "        f(-1)",
    ),
    "an argument that is too large, where an exception is expected": (
        "def f(s):\n    return len(s)",
        f"{PYTEST}def test_f():\n    assert f('ab') == 2\n    with pytest.raises(Exception):\n"
        "        f('a' * (70 << 20))",
    ),
    "an argument that is too large, where the program catches": (
        "def f(g):\n    try:\n        return g('a' * (70 << 20))\n"
        "    except Exception:\n        return -1",
        "assert f(len) == -1",
    ),
    "a function that replaces itself, and is also read": (
        "def f(x):\n    global f\n    f = lambda y: 0\n    return x + 1",
        "assert f(1) == 2\nassert f(2) == 3\nassert list(map(f, [3])) == [4]",
    ),
    "a name that is imported before it has changed": (
        "count = 0\ndef f(x):\n    global count\n    count += 1\n    return x",
        "from solution import f\ndef test_f():\n    assert f(2) == 2\n"
        "    from solution import count\n    assert count == 0",
    ),
    "an object that went with the module": (
        "K = 1\nclass f:\n    def push(self):\n        return self\n"
        "    def top(self):\n        return 1",
        f"{PYTEST}from solution import f\na = f()\ndef test_a():\n    import solution\n"
        "    assert solution.K == 1\ndef test_b():\n    a.push()\n"
        "    with pytest.raises(AttributeError):\n        a.top()",
    ),
    "a generator that empties the input at its end": (
        "def f(d):\n    try:\n        yield from sorted(d)\n    finally:\n        d.clear()",
        "d = [3, 1, 2]\nassert next(f(d)) == 1\nassert d == [3, 1, 2]",
    ),
    "a generator that empties what ends with it": (
        "def f(d):\n    try:\n        yield from sorted(d)\n    finally:\n        d.clear()",
        "def test_f():\n    d = [3, 1, 2]\n    for x in f(d):\n        assert x == 1\n"
        "        break\n    assert d == [3, 1, 2]",
    ),
    "a dict whose items are not what it gives": (
        "class f(dict):\n    def __getitem__(self, key):\n        return 4",
        "assert {**f(a=1)} == {'a': 4}",
    ),
    "a dict whose items are not what it gives, as keywords": (
        "class f(dict):\n    def __getitem__(self, key):\n        return 4",
        "def g(a):\n    return a\nassert g(**f(a=1)) == 4",
    ),
    "a set that goes over something else": (
        "class S(set):\n    def __iter__(self):\n        return iter([1, 2])\n"
        "def f():\n    return S()",
        "assert set(f()) == {1, 2}",
    ),
    "a text of a kind of its own in JSON": (
        "class S(str):\n    def __str__(self):\n        return 'right'\n"
        "def f():\n    return {'a': S('wrong')}",
        'import json\nassert json.dumps(f(), default=str) == \'{"a": "right"}\'',
    ),
    "a tuple that formats itself": (
        "class T(tuple):\n    def __str__(self):\n        return 'right'\n"
        "def f():\n    return T(('wrong',))",
        "assert '%s' % f() == 'right'",
    ),
    "a text that only here is none": (
        "class S(str):\n    pass\ndef f():\n    return S('a')",
        "import unittest\nclass TestF(unittest.TestCase):\n    def test_f(self):\n"
        "        self.assertEqual(len(f()), 1)\n"
        "        self.assertRaises(TypeError, ''.join, [f()])",
    ),
    "an object that is unequal to nothing": (
        "class X:\n    def __ne__(self, other):\n        return False\ndef f():\n    return X()",
        "assert f() != 5",
    ),
    "an object that has become equal to everything": (
        "class X:\n    pass\ndef f():\n    return X()\n"
        "def mend():\n    X.__eq__ = lambda self, other: True",
        "from solution import f, mend\nx = f()\nmend()\nassert x != 5",
    ),
    "an object that has become another": (
        "class A:\n    pass\nclass B:\n    def __eq__(self, other):\n        return True\n"
        "def f():\n    return A()\ndef turn(x):\n    x.__class__ = B",
        "from solution import f, turn\nx = f()\nturn(x)\nassert x != 5",
    ),
    "the type of a function": (
        "import types\ndef f(g):\n    return type(g) is not types.FunctionType",
        "assert f(lambda: 0)",
    ),
    "an object that is near what it goes over": (
        "class E:\n    def __len__(self):\n        return 2\n"
        "    def __iter__(self):\n        return iter((1.5, 2.5))\ndef f():\n    return E()",
        f"{PYTEST}assert [1.5, 2.5] == pytest.approx(f())",
    ),
    "a limit that depends on how deep the caller is": (
        "import sys\ndef f(x):\n    if x < 0:\n        sys.setrecursionlimit(12)\n    return x",
        f"{PYTEST}def test_f():\n    assert f(2) == 2\n    with pytest.raises(Exception):\n"
        "        f(-1)",
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
        "import sys\nprint(sys.__stdin__.readline(), file=sys.__stdout__)",
        "import os\nos.makedirs('d', exist_ok=True)\nos.chdir('d')\nprint(input())",
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach())\nprint(input())",
    ],
    ids=[
        "much memory",
        "attributes of streams",
        "the module __main__",
        "a name of the setup",
        "a buffer",
        "the first streams",
        "another directory",
        "a stream that is detached",
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


@pytest.mark.parametrize(
    "program",
    [
        "import fileinput\nprint(next(iter(fileinput.input())))",
        "import logging, sys\nlogging.getLogger().addHandler(logging.StreamHandler(sys.stdout))\n"
        "logging.warning(input())",
    ],
)
def test_what_a_module_keeps_from_the_last_case_blames_nobody(
    pools: dict[str, SandboxPool], program: str
) -> None:
    tests = json.dumps({"cases": [{"input": "a\nb", "output": "a"}] * 2})
    assert pools["L2"].run(program, tests).outcome == "unsupported"


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [
        ("True", "passed"),
        ("False", "wrong_output"),
        ("output", "unsupported"),
        ("1", "passed"),
        ("0", "wrong_output"),
        ("2", "unsupported"),
    ],
)
def test_a_checker_says_true_or_false(
    pools: dict[str, SandboxPool], returned: str, outcome: str
) -> None:
    checker = f"def check(input, output, expected):\n    return {returned}"
    case = {"input": "", "output": ""}
    tests = json.dumps({"cases": [case], "compare": "checker", "checker": checker})
    assert pools["L2"].run("print(1)", tests).outcome == outcome


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


@pytest.mark.parametrize(
    ("check", "outcome"),
    [
        ("tuple(f([2, 1])) == tuple([1, 2])", "passed"),
        ("sorted(f(xs)) == sorted(xs)", "unsupported"),
    ],
)
def test_a_list_sorted_in_place_is_compared_with_what_it_should_be(
    pools: dict[str, SandboxPool], check: str, outcome: str
) -> None:
    program = "def f(xs):\n    xs.sort()\n    return xs"
    result = pools["L2"].run(program, f"xs = [2, 1]\nassert {check}", entry_point="f")
    assert result.outcome == outcome, result


def test_time_that_copies_used_up_is_not_the_programs(pools: dict[str, SandboxPool]) -> None:
    rows = "rows = [list(range(900)) for _ in range(300)]"
    tests = f"{rows}\nfor i in range(900):\n    assert f(rows, i) == i"
    program = "def f(rows, i):\n    return rows[0][i]"
    result = pools["L2"].run(program, tests, Limits(cpu_s=0.5), entry_point="f")
    # Which of the two processes comes to its limit first is a race: neither is the program's doing.
    assert result.outcome == "unsupported"
    assert "crosses" in result.error or "not the program" in result.error
    program = "def f(rows, i):\n    while i:\n        pass\n    return 0"
    result = pools["L2"].run(program, tests, Limits(cpu_s=1.0), entry_point="f")
    assert (result.outcome, result.passed, result.total) == ("timeout", 1, 900)


def test_classes_of_the_setup_are_the_programs(pools: dict[str, SandboxPool]) -> None:
    setup = "class Node:\n    def __init__(self, v):\n        self.v = v\n"
    tests = "a = Node('x')\nassert f(a, a) == 'x'\nassert a.v == 'x'"
    program = "def f(a, b):\n    b.v = a.v\n    return a.v"
    result = pools["L2"].run(program, tests, entry_point="f", setup=setup)
    assert result.is_evidence_of_pass, result
    assert pools["L2"].run(program, tests, entry_point="f").trust == "together"


_TABLE = [(i, i * i) for i in range(20)]
# Twenty checks of `f(i) == i * i`, written in different ways.
COUNTED = {
    "a range": "for i in range(20):\n    assert f(i) == i * i",
    "a table": f"for i, want in {_TABLE}:\n    assert f(i) == want",
    "parametrize": f"{PYTEST}@pytest.mark.parametrize('i, want', {_TABLE})\n"
    "def test_f(i, want):\n    assert f(i) == want",
    "EvalPlus": f"I = {[[i] for i in range(20)]}\ndef check_all(c):\n"
    "    for number, arguments in enumerate(I):\n        if number > 30:\n            continue\n"
    "        assert c(*arguments) == arguments[0] ** 2\ncheck_all(f)",
    "EvalPlus's own": "def check(candidate):\n    inputs = [[i] for i in range(20)]\n"
    "    results = [i * i for i in range(20)]\n"
    "    for i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "        assert candidate(*inp) == exp",
    "loops in loops": "for i in range(4):\n    for j in (0, 1, 2, 3, 4):\n"
    "        assert f(5 * i + j) == (5 * i + j) ** 2",
    "asserts": "\n".join(f"assert f({i}) == {i * i}" for i in range(20)),
}
# Each is right for 0 and 1, and then ends the run in its own way.
ENDS = {
    "too much": "'x' * (70 << 20)",
    "no frame": "__import__('os').write(3, b'\\0\\0\\0\\2zz')",
    "a NaN after what is wrong": "'wrong' if x == 2 else float('nan')",
    "the end of its process": "__import__('os')._exit(0)",
    "what is wrong": "'wrong'",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
@pytest.mark.parametrize("tests", COUNTED.values(), ids=COUNTED.keys())
def test_what_was_not_reached_has_failed(
    pools: dict[str, SandboxPool], tests: str, end: str
) -> None:
    program = f"def f(x):\n    return x * x if x < 2 else {end}"
    result = pools["L2"].run(program, tests, entry_point="f")
    assert (result.passed, result.total) == (2, 20), result
    assert result.share_of_checks == 0.1
    result = pools["L2"].run("def f(x):\n    return x * x", tests, entry_point="f")
    assert (result.passed, result.total, result.outcome) == (20, 20, "passed"), result


def test_a_loop_of_unknown_length_that_was_ended_has_failed(
    pools: dict[str, SandboxPool],
) -> None:
    tests = "n = f(0)\nwhile n < 20:\n    assert f(n) == n * n\n    n += 1"
    program = f"def f(x):\n    return x * x if x < 2 else {ENDS['no frame']}"
    assert pools["L2"].run(program, tests, entry_point="f").passed == 0
