"""Programs that must pass: an executor that fails everything is no sandbox."""

from __future__ import annotations

from typing import NamedTuple


class Honest(NamedTuple):
    """A correct program and its tests."""

    name: str
    code: str
    tests: str
    entry_point: str = ""


HONEST = [
    Honest("plain function", "def add(a, b):\n    return a + b", "assert add(1, 2) == 3"),
    Honest(
        "class with state",
        "class Stack:\n"
        "    def __init__(self):\n        self.items = []\n"
        "    def push(self, x):\n        self.items.append(x)\n"
        "    def pop(self):\n        return self.items.pop()\n"
        "    def __len__(self):\n        return len(self.items)\n"
        "    def __contains__(self, x):\n        return x in self.items\n"
        "    def __bool__(self):\n        return bool(self.items)\n",
        "s = Stack()\nassert not s\ns.push(1)\ns.push(2)\nassert len(s) == 2\nassert 2 in s\n"
        "assert 5 not in s\nassert s\nassert s.items == [1, 2]\nassert s.pop() == 2\n"
        "assert isinstance(s, Stack)\nassert type(s).__name__ == 'Stack'\n"
        "assert hasattr(s, 'push') and not hasattr(s, 'missing')",
    ),
    Honest(
        "dataclass",
        "from dataclasses import dataclass, field\n"
        "@dataclass(order=True)\nclass Point:\n    x: int\n    y: int = 0\n"
        "    tags: list = field(default_factory=list)\n"
        "def mirror(p):\n    return Point(-p.x, -p.y)\n",
        "p = Point(1, 2)\nassert p == Point(1, 2)\nassert p != Point(1, 3)\n"
        "assert mirror(p) == Point(-1, -2)\nassert p.x == 1 and p.tags == []\n"
        "assert str(p) == 'Point(x=1, y=2, tags=[])'\nassert Point(1, 1) < Point(2, 0)\n"
        "p.x = 9\nassert p.x == 9\nassert p.__dict__ == {'x': 9, 'y': 2, 'tags': []}",
    ),
    Honest(
        "inheritance",
        "class Shape:\n    def area(self):\n        raise NotImplementedError\n"
        "class Square(Shape):\n    def __init__(self, side):\n        self.side = side\n"
        "    def area(self):\n        return self.side ** 2\n"
        "    @property\n    def double(self):\n        return self.side * 2\n"
        "    @classmethod\n    def unit(cls):\n        return cls(1)\n"
        "    @staticmethod\n    def name():\n        return 'square'\n",
        "s = Square(3)\nassert isinstance(s, Shape)\nassert issubclass(Square, Shape)\n"
        "assert s.area() == 9\nassert s.double == 6\nassert Square.unit().area() == 1\n"
        "assert Square.name() == 'square'\n"
        "try:\n    Shape().area()\n    assert False\nexcept NotImplementedError:\n    pass",
    ),
    Honest(
        "operators",
        "class Vector:\n    def __init__(self, *v):\n        self.v = v\n"
        "    def __add__(self, o):\n        return Vector(*(a + b for a, b in zip(self.v, o.v)))\n"
        "    def __mul__(self, k):\n        return Vector(*(a * k for a in self.v))\n"
        "    __rmul__ = __mul__\n"
        "    def __eq__(self, o):\n        return isinstance(o, Vector) and self.v == o.v\n"
        "    def __hash__(self):\n        return hash(self.v)\n"
        "    def __abs__(self):\n        return sum(a * a for a in self.v) ** 0.5\n"
        "    def __getitem__(self, i):\n        return self.v[i]\n"
        "    def __iter__(self):\n        return iter(self.v)\n",
        "a, b = Vector(1, 2), Vector(3, 4)\nassert a + b == Vector(4, 6)\n"
        "assert a * 2 == Vector(2, 4)\nassert 2 * a == Vector(2, 4)\nassert abs(b) == 5.0\n"
        "assert a[1] == 2\nassert list(b) == [3, 4]\nassert len({a, Vector(1, 2)}) == 1\n"
        "a += b\nassert a == Vector(4, 6)\nx, y = b\nassert (x, y) == (3, 4)",
    ),
    Honest(
        "generator",
        "def countdown(n):\n    while n:\n        yield n\n        n -= 1\n"
        "def naturals():\n    n = 0\n    while True:\n        yield n\n        n += 1\n"
        "def echo():\n    got = yield 'ready'\n    while True:\n        got = yield got * 2\n",
        "assert list(countdown(3)) == [3, 2, 1]\ng = countdown(2)\nassert next(g) == 2\n"
        "assert next(g) == 1\n"
        "try:\n    next(g)\n    assert False\nexcept StopIteration:\n    pass\n"
        "import itertools, types\nassert list(itertools.islice(naturals(), 1000)) == list(range(1000))\n"
        "e = echo()\nassert next(e) == 'ready'\nassert e.send(4) == 8\nassert e.send('a') == 'aa'\n"
        "assert isinstance(countdown(1), types.GeneratorType)\nassert sum(countdown(100)) == 5050",
    ),
    Honest(
        "iterator class",
        "class Evens:\n    def __init__(self, n):\n        self.i, self.n = 0, n\n"
        "    def __iter__(self):\n        return self\n"
        "    def __next__(self):\n        if self.i >= self.n:\n            raise StopIteration\n"
        "        self.i += 2\n        return self.i - 2\n"
        "def squares(items):\n    return map(lambda x: x * x, items)\n",
        "assert list(Evens(6)) == [0, 2, 4]\nassert list(squares([1, 2])) == [1, 4]\n"
        "assert dict(zip('ab', Evens(4))) == {'a': 0, 'b': 2}\nassert 3 in list(squares([1])) or True",
    ),
    Honest(
        "threads",
        "import threading\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def total(n):\n    out, lock = [], threading.Lock()\n"
        "    def work(i):\n        with lock:\n            out.append(i)\n"
        "    ts = [threading.Thread(target=work, args=(i,)) for i in range(n)]\n"
        "    [t.start() for t in ts]; [t.join() for t in ts]\n    return sum(out)\n"
        "def par(f, xs):\n    with ThreadPoolExecutor(4) as ex:\n        return list(ex.map(f, xs))\n",
        "assert total(8) == 28\nassert par(lambda x: x + 1, [1, 2, 3]) == [2, 3, 4]",
    ),
    Honest(
        "threads in the tests",
        "import threading\nclass Counter:\n    def __init__(self):\n        self.n = 0\n"
        "        self.lock = threading.Lock()\n"
        "    def inc(self):\n        with self.lock:\n            self.n += 1\n",
        "import threading\nc = Counter()\nts = [threading.Thread(target=c.inc) for _ in range(5)]\n"
        "[t.start() for t in ts]\n[t.join() for t in ts]\nassert c.n == 5",
    ),
    Honest(
        "temporary files",
        "import os, tempfile\n"
        "def roundtrip(text):\n    with open('note.txt', 'w') as h:\n        h.write(text)\n"
        "    with open('note.txt') as h:\n        got = h.read()\n    os.remove('note.txt')\n"
        "    return got\n"
        "def temp(data):\n    with tempfile.NamedTemporaryFile('w+') as h:\n        h.write(data)\n"
        "        h.seek(0)\n        return h.read()\n"
        "def tree():\n    with tempfile.TemporaryDirectory() as d:\n"
        "        os.makedirs(os.path.join(d, 'a', 'b'))\n        return os.listdir(d)\n",
        "assert roundtrip('hello') == 'hello'\nassert temp('x' * 1000) == 'x' * 1000\n"
        "assert tree() == ['a']",
    ),
    Honest(
        "recursion",
        "import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(20000)\n"
        "@lru_cache(None)\ndef fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"
        "def depth(n):\n    return 0 if n == 0 else 1 + depth(n - 1)\n",
        "assert fib(80) == 23416728348467685\nassert depth(5000) == 5000\n"
        "assert fib.cache_info().currsize > 0\nfib.cache_clear()",
    ),
    Honest(
        "in-place mutation",
        "def sort(xs):\n    xs.sort()\n"
        "def rotate(m):\n    m[:] = [list(r) for r in zip(*m[::-1])]\n"
        "def set_zero(m):\n    m[0][0] = 0\n"
        "def count(d, k):\n    d[k] = d.get(k, 0) + 1\n"
        "def grow(s):\n    s.add(9)\n",
        "a = [3, 1, 2]\nassert sort(a) is None\nassert a == [1, 2, 3]\n"
        "m = [[1, 2], [3, 4]]\nrow = m[0]\nset_zero(m)\nassert m == [[0, 2], [3, 4]] and row == [0, 2]\n"
        "rotate(m)\nassert m == [[3, 0], [4, 2]]\nd = {}\ncount(d, 'x')\ncount(d, 'x')\n"
        "assert d == {'x': 2}\ns = {1}\ngrow(s)\nassert s == {1, 9}",
    ),
    Honest(
        "a kept argument",
        "class Sorter:\n    def __init__(self, xs):\n        self.xs = xs\n"
        "    def run(self):\n        self.xs.sort()\n    def total(self):\n        return sum(self.xs)\n"
        "def same(x):\n    return x\n",
        "xs = [2, 1]\ns = Sorter(xs)\ns.run()\nassert xs == [1, 2]\nxs.append(7)\n"
        "assert s.total() == 10\nassert same(xs) is xs",
    ),
    Honest(
        "callbacks",
        "def apply(f, xs):\n    return [f(x) for x in xs]\n"
        "def compose(*fs):\n    def run(x):\n        for f in fs:\n            x = f(x)\n        return x\n"
        "    return run\n"
        "def sort_by(xs, key):\n    return sorted(xs, key=key)\n"
        "def fold(f, xs, start):\n    for x in xs:\n        start = f(start, x)\n    return start\n",
        "assert apply(lambda x: x * 2, [1, 2]) == [2, 4]\n"
        "assert compose(lambda x: x + 1, str)(1) == '2'\nassert sort_by(['bb', 'a'], len) == ['a', 'bb']\n"
        "assert fold(lambda a, b: a + b, [1, 2, 3], 0) == 6\nimport operator\n"
        "assert fold(operator.mul, [2, 3], 1) == 6\nseen = []\napply(seen.append, [1, 2])\n"
        "assert seen == [1, 2]\nassert apply(int, ['1', '2']) == [1, 2]",
    ),
    Honest(
        "decorators and closures",
        "import functools\n"
        "def twice(f):\n    @functools.wraps(f)\n    def run(*a, **k):\n        return f(*a, **k) * 2\n"
        "    return run\n"
        "def counter():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return inc\n"
        "def curry(f):\n    import inspect\n    n = len(inspect.signature(f).parameters)\n"
        "    def run(*a):\n        return f(*a) if len(a) >= n else lambda *b: run(*a, *b)\n    return run\n",
        "@twice\ndef add(a, b=1):\n    return a + b\nassert add(1) == 4\nassert add(1, b=3) == 8\n"
        "assert add.__name__ == 'add'\nc = counter()\nassert (c(), c(), c()) == (1, 2, 3)\n"
        "assert curry(lambda a, b, c: a + b + c)(1)(2)(3) == 6\nassert callable(counter)",
    ),
    Honest(
        "retries with a failing callback",
        "def retry(f, n):\n    for i in range(n):\n        try:\n            return f()\n"
        "        except ValueError as e:\n            last = e\n    raise last\n",
        "calls = []\ndef flaky():\n    calls.append(1)\n    if len(calls) < 3:\n"
        "        raise ValueError('no')\n    return 'ok'\nassert retry(flaky, 5) == 'ok'\n"
        "class Odd(ValueError):\n    pass\ndef bad():\n    raise Odd('x')\n"
        "try:\n    retry(bad, 2)\n    assert False\nexcept Odd as e:\n    assert str(e) == 'x'",
    ),
    Honest(
        "expected exceptions",
        "class TooBig(ValueError):\n    def __init__(self, n):\n        super().__init__(f'{n} is too big')\n"
        "        self.n = n\n"
        "def check(n):\n    if n > 9:\n        raise TooBig(n)\n    if n < 0:\n        raise ValueError('negative')\n"
        "    return n\n"
        "def key(d, k):\n    return d[k]\n",
        "try:\n    check(10)\n    assert False, 'no error'\nexcept TooBig as e:\n"
        "    assert e.n == 10 and str(e) == '10 is too big'\n"
        "try:\n    check(-1)\nexcept ValueError as e:\n    assert 'negative' in str(e)\n"
        "raised = False\ntry:\n    key({}, 'a')\nexcept KeyError as e:\n    raised = e.args == ('a',)\n"
        "assert raised",
    ),
    Honest(
        "only an expected exception",
        "def f(x):\n    raise ValueError('always')\n",
        "try:\n    f(1)\n    assert False, 'should have raised'\nexcept ValueError:\n    pass",
    ),
    Honest(
        "context manager",
        "from contextlib import contextmanager\nlog = []\n"
        "class Managed:\n    def __enter__(self):\n        log.append('in')\n        return self\n"
        "    def __exit__(self, t, v, tb):\n        log.append('out' if t is None else t.__name__)\n"
        "        return t is KeyError\n"
        "@contextmanager\ndef tag(name):\n    log.append(name)\n    yield name.upper()\n    log.append('/' + name)\n",
        "with Managed() as m:\n    assert isinstance(m, Managed)\nassert log == ['in', 'out']\n"
        "with Managed():\n    raise KeyError('x')\nassert log[-1] == 'KeyError'\n"
        "with tag('b') as t:\n    assert t == 'B'\nassert log[-2:] == ['b', '/b']",
    ),
    Honest(
        "module state",
        "count = 0\nregistry = {}\nLIMIT = 3\n"
        "def bump():\n    global count\n    count += 1\n    return count\n"
        "def register(k, v):\n    registry[k] = v\n",
        "assert count == 0\nbump()\nassert count == 1\nregister('a', 1)\n"
        "assert registry == {'a': 1}\nassert LIMIT == 3",
    ),
    Honest(
        "enum and namedtuple",
        "from enum import Enum, IntEnum\nfrom collections import namedtuple\n"
        "class Color(Enum):\n    RED = 1\n    BLUE = 2\n"
        "class Level(IntEnum):\n    LOW = 1\n    HIGH = 2\n"
        "Point = namedtuple('Point', 'x y')\n"
        "def pick(n):\n    return Color(n)\ndef level(n):\n    return Level.HIGH if n else Level.LOW\n"
        "def origin():\n    return Point(0, 0)\n",
        "assert pick(1) == Color.RED\nassert pick(2) is Color.BLUE\nassert Color.RED.value == 1\n"
        "assert Color.RED.name == 'RED'\nassert pick(1) != Color.BLUE\nassert level(1) == 2\n"
        "assert level(0) == Level.LOW\np = origin()\nassert p == (0, 0)\nassert p.x == 0\n"
        "assert p._replace(x=4) == (4, 0)\nassert len(list(Color)) == 2\nassert Color['BLUE'] == Color.BLUE",
    ),
    Honest(
        "library values",
        "import datetime, decimal, fractions, collections, uuid, re\n"
        "def day(y, m, d):\n    return datetime.date(y, m, d) + datetime.timedelta(days=1)\n"
        "def money(s):\n    return decimal.Decimal(s) * 2\n"
        "def half():\n    return fractions.Fraction(1, 2)\n"
        "def letters(s):\n    return collections.Counter(s)\n"
        "def groups(xs):\n    d = collections.defaultdict(list)\n    for x in xs:\n        d[x % 2].append(x)\n"
        "    return d\n"
        "def queue(xs):\n    return collections.deque(xs, maxlen=3)\n"
        "def match(s):\n    return re.match(r'(\\d+)-(\\d+)', s)\n"
        "def keys(d):\n    return d.keys()\n",
        "import datetime\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "from collections import Counter, deque\nassert day(2020, 2, 28) == datetime.date(2020, 2, 29)\n"
        "assert money('1.10') == Decimal('2.20')\nassert half() == Fraction(1, 2) and half() < 1\n"
        "assert letters('aab') == Counter('aab') == {'a': 2, 'b': 1}\n"
        "assert letters('aab').most_common(1) == [('a', 2)]\nassert groups([1, 2, 3]) == {1: [1, 3], 0: [2]}\n"
        "assert queue([1, 2, 3, 4]) == deque([2, 3, 4])\nm = match('10-20')\n"
        "assert m is not None and m.group(1) == '10' and m.groups() == ('10', '20')\nassert match('x') is None\n"
        "assert keys({'a': 1}) == {'a'}",
    ),
    Honest(
        "plain values of every kind",
        "def same(x):\n    return x\n",
        "import math\nfor v in [None, True, 0, -5, 10**30, -(2**200), 1.5, -0.0, float('inf'), 'a\\n\\u20ac',"
        " '\\ud800', b'\\x00\\xff', 3+4j, [1, [2, [3]]], (1,), (), {'a': (1, 2)}, {1: 2}, {1, 2},"
        " frozenset([1]), bytearray(b'x'), range(3), slice(1, 2), ..., {(1, 2): [3]}]:\n"
        "    got = same(v)\n    assert got == v and type(got) is type(v)\n"
        "assert math.isnan(same(float('nan')))\nassert math.copysign(1, same(-0.0)) == -1\n"
        "assert same(10**5000) == 10**5000\nassert same([10**5000]) == [10**5000]",
    ),
    Honest(
        "big answers and big output",
        "def numbers(n):\n    return list(range(n))\ndef text(n):\n    return 'ab' * n\n"
        "def shout(n):\n    for _ in range(n):\n        print('x' * 99)\n    return n\n",
        "assert numbers(200000) == list(range(200000))\nassert len(text(2000000)) == 4000000\n"
        "assert shout(9000) == 9000",
    ),
    Honest(
        "deeply nested values",
        "def nest(n):\n    x = []\n    for _ in range(n):\n        x = [x]\n    return x\n"
        "def depth(x):\n    d = 0\n    while x:\n        x = x[0]\n        d += 1\n    return d\n",
        "assert depth(nest(800)) == 800\nx = nest(3)\nassert x == [[[[]]]]",
    ),
    Honest(
        "linked structures",
        "class Node:\n    def __init__(self, val, next=None):\n        self.val, self.next = val, next\n"
        "def build(xs):\n    head = None\n    for x in reversed(xs):\n        head = Node(x, head)\n    return head\n"
        "def reverse(head):\n    prev = None\n    while head:\n        head.next, prev, head = prev, head, head.next\n"
        "    return prev\n",
        "def values(n):\n    out = []\n    while n:\n        out.append(n.val)\n        n = n.next\n    return out\n"
        "assert values(build([1, 2, 3])) == [1, 2, 3]\nassert values(reverse(build([1, 2, 3]))) == [3, 2, 1]\n"
        "n = Node(1)\nn.next = n\nassert n.next is n\nassert build([]) is None",
    ),
    Honest(
        "a class that only the tests define",
        "def depth(root):\n    if root is None:\n        return 0\n"
        "    return 1 + max(depth(root.left), depth(root.right))\n"
        "def make(v):\n    return TreeNode(v)\n",
        "class TreeNode:\n    def __init__(self, val, left=None, right=None):\n"
        "        self.val, self.left, self.right = val, left, right\n"
        "assert depth(TreeNode(1, TreeNode(2))) == 2\nassert make(5).val == 5\nassert depth(None) == 0",
    ),
    Honest(
        "subclasses of list and dict",
        "class Stack(list):\n    def push(self, x):\n        self.append(x)\n"
        "class Upper(dict):\n    def __getitem__(self, k):\n        return dict.__getitem__(self, k.upper())\n"
        "class Celsius(float):\n    def to_f(self):\n        return self * 9 / 5 + 32\n",
        "s = Stack()\ns.push(1)\ns.push(2)\nassert s == [1, 2]\nassert len(s) == 2 and s[0] == 1\n"
        "assert isinstance(s, list)\nu = Upper(A=1)\nassert u['a'] == 1\nt = Celsius(100)\n"
        "assert t == 100.0 and t.to_f() == 212.0 and t + 1 == 101.0",
    ),
    Honest(
        "printed text",
        "def greet(name):\n    print('Hello', name)\n",
        "import io, contextlib\nbuf = io.StringIO()\nwith contextlib.redirect_stdout(buf):\n    greet('Bob')\n"
        "assert buf.getvalue() == 'Hello Bob\\n'",
    ),
    Honest(
        "numpy",
        "import numpy as np\ndef norm(v):\n    return np.sqrt((np.asarray(v) ** 2).sum())\n"
        "def grid(n):\n    return np.arange(n * n).reshape(n, n)\ndef top(a):\n    return a.max(axis=0)\n"
        "def fill(a):\n    a[:] = 7\n",
        "import numpy as np\nassert abs(norm([3, 4]) - 5.0) < 1e-9\n"
        "assert (grid(2) == np.array([[0, 1], [2, 3]])).all()\nassert grid(3).shape == (3, 3)\n"
        "np.testing.assert_allclose(top(np.array([[1., 5.], [2., 3.]])), [2., 5.])\n"
        "assert np.array_equal(grid(2).T, [[0, 2], [1, 3]])\nassert isinstance(norm([1]), np.float64)",
    ),
    Honest(
        "coroutines",
        "import asyncio\nasync def double(x):\n    await asyncio.sleep(0)\n    return x * 2\n"
        "async def both():\n    return await asyncio.gather(double(1), double(2))\n"
        "def run():\n    return asyncio.run(both())\n",
        "import asyncio\nassert asyncio.run(double(4)) == 8\nassert run() == [2, 4]\n"
        "assert asyncio.run(both()) == [2, 4]",
    ),
    Honest(
        "HumanEval check",
        "def total(xs):\n    return sum(xs)\n",
        "METADATA = {}\n\ndef check(candidate):\n    assert candidate([1, 2]) == 3\n"
        "    assert candidate([]) == 0, 'empty'\n",
        "total",
    ),
    Honest(
        "unittest class",
        "def div(a, b):\n    return a / b\nclass Box:\n    def __init__(self):\n        self.n = 0\n"
        "    def add(self):\n        self.n += 1\n",
        "import unittest\nclass TestDiv(unittest.TestCase):\n    def setUp(self):\n        self.box = Box()\n"
        "    def test_ok(self):\n        self.assertEqual(div(4, 2), 2)\n        self.assertAlmostEqual(div(1, 3), 0.3333333, 5)\n"
        "    def test_zero(self):\n        with self.assertRaises(ZeroDivisionError):\n            div(1, 0)\n"
        "        self.assertRaises(TypeError, div, 'a', 1)\n"
        "    def test_box(self):\n        self.box.add()\n        self.assertEqual(self.box.n, 1)\n"
        "        self.assertIsInstance(self.box, Box)\n        self.assertTrue(self.box.n > 0)\n\n"
        "if __name__ == '__main__':\n    unittest.main()\n",
    ),
    Honest(
        "pytest functions",
        "def inverse(x):\n    if x == 0:\n        raise ValueError('zero has no inverse')\n    return 1 / x\n"
        "def hello():\n    print('hi')\n",
        "import pytest\nfrom solution import inverse, hello\n\n"
        "@pytest.mark.parametrize('x, want', [(2, 0.5), (4, 0.25), pytest.param(-1, -1.0, id='neg')])\n"
        "def test_inverse(x, want):\n    assert inverse(x) == pytest.approx(want)\n\n"
        "def test_zero():\n    with pytest.raises(ValueError, match='no inverse') as info:\n        inverse(0)\n"
        "    assert 'zero' in str(info.value)\n\n"
        "@pytest.fixture\ndef three():\n    return 3\n\n"
        "def test_fixture(three):\n    assert inverse(three) == pytest.approx(0.333333, abs=1e-4)\n\n"
        "def test_print(capsys):\n    hello()\n    assert capsys.readouterr().out == 'hi\\n'\n\n"
        "class TestMore:\n    def test_one(self):\n        assert inverse(1) == 1\n\n",
    ),
    Honest(
        "a seeded random",
        "import random\ndef roll(seed):\n    return random.Random(seed).randint(1, 6)\n"
        "def shuffled(xs):\n    random.seed(4)\n    xs = xs[:]\n    random.shuffle(xs)\n    return xs\n",
        "assert roll(1) == roll(1)\nassert sorted(shuffled([1, 2, 3])) == [1, 2, 3]",
    ),
    Honest(
        "sleep and time",
        "import time\ndef nap():\n    t = time.monotonic()\n    time.sleep(0.05)\n    return time.monotonic() - t\n",
        "assert nap() >= 0.05",
    ),
    Honest(
        "partial, abc and protocols",
        "import abc, functools, typing\nT = typing.TypeVar('T')\n"
        "class Animal(abc.ABC):\n    @abc.abstractmethod\n    def noise(self): ...\n"
        "class Dog(Animal):\n    def noise(self):\n        return 'woof'\n"
        "class Box(typing.Generic[T]):\n    def __init__(self, x: T):\n        self.x = x\n"
        "def adder(n):\n    return functools.partial(lambda a, b: a + b, n)\n",
        "assert Dog().noise() == 'woof'\nassert Box(3).x == 3\nassert adder(2)(3) == 5\n"
        "try:\n    Animal()\n    assert False\nexcept TypeError:\n    pass",
    ),
    Honest(
        "sys.exit that the tests expect",
        "import sys\ndef main(args):\n    if not args:\n        sys.exit(2)\n    return 0\n",
        "try:\n    main([])\n    assert False\nexcept SystemExit as e:\n    assert e.code == 2\nassert main([1]) == 0",
    ),
    Honest(
        "main block is not run",
        "def f():\n    return 1\nif __name__ == '__main__':\n    input()\n    raise SystemExit(1)\n",
        "assert f() == 1",
    ),
    Honest(
        "memory within the limit",
        "def big():\n    return len(bytearray(300 << 20))\n",
        "assert big() == 300 << 20",
    ),
    Honest(
        "vararg and keyword calls",
        "def f(a, /, b, *args, c=3, **kw):\n    return (a, b, args, c, kw)\n",
        "assert f(1, 2) == (1, 2, (), 3, {})\nassert f(1, 2, 3, c=4, d=5) == (1, 2, (3,), 4, {'d': 5})\n"
        "assert f(*[1, 2], **{'c': 0}) == (1, 2, (), 0, {})",
    ),
    Honest(
        "lists of objects",
        "class Item:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __eq__(self, o):\n        return self.n == o.n\n"
        "    def __lt__(self, o):\n        return self.n < o.n\n    def __repr__(self):\n        return f'Item({self.n})'\n"
        "def make(ns):\n    return [Item(n) for n in ns]\ndef best(items):\n    return max(items, key=lambda i: i.n)\n",
        "xs = make([3, 1, 2])\nassert [x.n for x in xs] == [3, 1, 2]\nassert xs[0] == Item(3)\n"
        "assert sorted(xs)[0].n == 1\nassert best(xs).n == 3\nassert repr(xs[1]) == 'Item(1)'\n"
        "assert make([1]) == [Item(1)]",
    ),
    Honest(
        "stdin is patched by the tests",
        "def ask():\n    return int(input('n? ')) + 1\n",
        "def input(prompt=''):\n    return '4'\nassert ask() == 5",
    ),
    Honest(
        "the tested function has the name of a builtin",
        "def sum(a, b):\n    return a + b\n",
        "assert sum(1, 2) == 3",
    ),
    Honest(
        "a helper has the name of a builtin",
        "def sum(xs):\n    return max(xs)\ndef f(xs):\n    return sum(xs)\n",
        "assert f([1, 2]) == 2\nassert sum([1, 2]) == 3",
    ),
    Honest(
        "math is imported by the program only",
        "import math\ndef f(x):\n    return math.sqrt(x)\n",
        "assert math.isclose(f(9), 3.0)",
    ),
    Honest(
        "everything is imported, a value has a function's name",
        "def area(x):\n    return x * x\n",
        "from program import *\narea = area(3)\nassert area == 9",
    ),
]
