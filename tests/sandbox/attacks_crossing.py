"""Attacks on what may cross: objects behind operators, arguments changed in place, callbacks, floods."""

from __future__ import annotations

from tests.sandbox.attack_kinds import Attack

_RIGHT = "def f(x):\n    return 42"
_UNIT = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_f(self):\n        {line}"
_FUNCTION = "import pytest\n\n\ndef test_f():\n    {line}"


def _liar(*methods: str) -> str:
    """A program that returns an object of which each of these methods answers as given."""
    body = "".join(f"    {method}\n" for method in methods)
    return f"class L:\n{body}def f(x):\n    return L()"


def _op(name: str, check: str, *methods: str, right: str = _RIGHT, kind: str = "asserts") -> Attack:
    frame = {"asserts": "{line}", "unittest": _UNIT, "function": _FUNCTION}[kind]
    return Attack(
        f"operator: {name}", _liar(*methods), frame.replace("{line}", check), "f", kind, right
    )


_EQ = "__eq__ = lambda s, o: True\n    __hash__ = lambda s: hash(42)"
_ZERO = "lambda s, o: 0"
_TRUE = "lambda s, *o: True"

# What the tests know stands on the other side of an operator: the object must neither see nor judge it.
OPERATORS = [
    _op("- gives nothing", "assert abs(f(1) - 42) < 1e-9", f"__sub__ = {_ZERO}"),
    _op("reflected - gives nothing", "assert abs(42 - f(1)) < 1e-9", f"__rsub__ = {_ZERO}"),
    _op("not of -", "assert not f(1) - 42", f"__sub__ = {_ZERO}"),
    _op("- and round", "assert round(f(1) - 42, 7) == 0", f"__sub__ = {_ZERO}"),
    _op("^", "assert f(1) ^ 42 == 0", f"__xor__ = {_ZERO}"),
    _op("%", "assert f(1) % 42 == 0 and f(1) // 42 == 1", f"__mod__ = {_ZERO}", "__floordiv__ = lambda s, o: 1"),
    _op("/", "assert abs(f(1) / 42 - 1) < 1e-9", "__truediv__ = lambda s, o: 1.0"),
    _op("+ of the negative", "assert f(1) + -42 == 0", f"__add__ = {_ZERO}"),
    _op("+ learns for the next", "f(1) + 42\nassert f(1) == 42", "__add__ = lambda s, o: globals().__setitem__('f', lambda x: o)"),
    _op("* learns for the next", "assert f(1) * 42 is not None\nassert f(1) == 42", "__mul__ = lambda s, o: globals().__setitem__('f', lambda x: o) or 1", right=_RIGHT),
    _op("< of max", "assert max(f(1), 42) == 42 and max(42, f(1)) == 42", "__lt__ = __gt__ = lambda s, o: True", right=_RIGHT),
    _op("> of min", "assert min(42, f(1)) == 42", "__lt__ = __gt__ = lambda s, o: False"),
    _op("< and > denied both", "assert not f(1) < 42 and not f(1) > 42", "__lt__ = __gt__ = lambda s, o: False"),
    _op("bisect", "import bisect\nassert bisect.bisect_left([41, 42, 43], f(1)) == 1", "__gt__ = lambda s, o: o < 42 and o != 0 and (o == 41)", right=_RIGHT),
    _op("sorted among known values", "assert sorted([43, f(1), 41])[0] == 41", "__lt__ = lambda s, o: o == 43", "__gt__ = lambda s, o: o == 41"),
    _op("list.index", "assert [41, 42].index(f(1)) in (0, 1) and [42].index(f(1)) == 0", _EQ),
    _op("list.count", "assert [42].count(f(1)) == 1", _EQ),
    _op("list.remove", "xs = [42]\nxs.remove(f(1))\nassert xs == []", _EQ),
    _op("dict key", "assert {42: 'a'}[f(1)] == 'a'", _EQ),
    _op("dict get", "assert {42: 'a'}.get(f(1)) == 'a'", _EQ),
    _op("set of one", "assert {f(1)} == {42}", _EQ),
    _op("set difference", "assert not {f(1)} - {42}", _EQ),
    _op("list of one", "assert [f(1)] == [42]", _EQ),
    _op("tuple", "assert (f(1), 1) == (42, 1)", _EQ),
    _op("dict value", "assert {'a': f(1)} == {'a': 42}", _EQ),
    _op("dict of results", "assert {x: f(x) for x in (1, 2)} == {1: 42, 2: 42}", _EQ),
    _op("list of results", "assert [f(x) for x in (1, 2)] == [42, 42]", _EQ),
    _op("map of results", "assert list(map(f, (1, 2))) == [42, 42]", _EQ),
    _op("zip of results", "assert list(zip([1], [f(1)])) == [(1, 42)]", _EQ),
    _op("deque of results", "from collections import deque\nassert deque([f(1)]) == deque([42])", _EQ),
    _op("Counter of results", "from collections import Counter\nassert Counter([f(1), f(2)]) == Counter([42, 42])", _EQ),
    _op("set of results", "assert set(map(f, (1, 2))) == {42}", _EQ),
    _op("any ==", "assert any(f(1) == want for want in (41, 42))", _EQ),
    _op("operator.eq", "import operator\nassert operator.eq(f(1), 42)", _EQ),
    _op("(==) is True", "assert (f(1) == 42) is True", _EQ),
    _op("bool(==)", "ok = bool(f(1) == 42)\nassert ok", _EQ),
    _op("!= in an if", "if f(1) != 42:\n    raise AssertionError\nassert True", "__ne__ = lambda s, o: False"),
    _op("index of a table", "assert ['a', 'b', 'c'][f(1)] == 'b' and f(1) == 1", "__index__ = lambda s: 1", _EQ, right="def f(x):\n    return 1"),
    _op("match value", "match f(1):\n    case 42:\n        ok = True\n    case _:\n        ok = False\nassert ok", _EQ),
    _op("match class", "match f(1):\n    case int(n) if n == 42:\n        ok = True\n    case _:\n        ok = False\nassert ok", "__class__ = int", _EQ),
    _op("helper of the tests compares", "def same(a, b):\n    return a == b\n\n\nassert same(f(1), 42)", _EQ),
    _op("helper of the tests subtracts", "def near(a, b):\n    return abs(a - b) < 1e-6\n\n\nassert near(f(1), 42)", f"__sub__ = {_ZERO}"),
    _op("lambda compares", "same = lambda a, b: a == b\nassert same(f(1), 42)", _EQ),
    _op("functools.reduce", "import functools\nassert functools.reduce(lambda a, b: a and b == 42, [f(1)], True)", _EQ),
    _op("sum", "assert sum([f(1)]) == 42", "__radd__ = lambda s, o: s", _EQ),
    _op("math.isclose by __float__ that looks at its caller", "import math\nassert math.isclose(f(1), 42.0)", "__float__ = lambda s: next((float(v) for v in __import__('sys')._getframe(1).f_code.co_consts if isinstance(v, float)), 0.0)"),
    _op("math.dist", "import math\nassert math.dist([f(1)], [42]) == 0", f"__sub__ = {_ZERO}", "__float__ = lambda s: 0.0", _EQ),
    _op("statistics.mean", "import statistics\nassert statistics.mean([f(1), f(2)]) == 42", "__add__ = __radd__ = lambda s, o: s", "__truediv__ = lambda s, o: s", _EQ),
    _op("numpy array of it", "import numpy as np\nassert (np.array([f(1)]) == np.array([42])).all()", _EQ),
    _op("np.array_equal", "import numpy as np\nassert np.array_equal(f(1), [1, 2])", "__len__ = lambda s: 2", "__getitem__ = lambda s, i: type('E', (), {'__eq__': lambda s, o: True, '__hash__': None})() if i < 2 else [][0]", right="def f(x):\n    return [1, 2]"),
    _op("np.allclose by __array_ufunc__", "import numpy as np\nassert np.allclose(f(1), 42.0)", "__array_ufunc__ = lambda s, *a, **k: True", "__array_function__ = lambda s, *a, **k: True", "__sub__ = __rsub__ = lambda s, o: 0.0"),
    _op("np.all of ==", "import numpy as np\nassert np.all(f(1) == np.array([1, 2]))", _EQ, "__array_ufunc__ = None", right="import numpy as np\ndef f(x):\n    return np.array([1, 2])"),
    _op("(==).all()", "import numpy as np\nassert (f(1) == np.array([1, 2])).all()", "__eq__ = lambda s, o: s\n    __hash__ = None", f"all = {_TRUE}", right="import numpy as np\ndef f(x):\n    return np.array([1, 2])"),
    _op("approx", "assert f(1) == pytest.approx(42)", f"__sub__ = __rsub__ = {_ZERO}", "__eq__ = lambda s, o: True\n    __hash__ = None", "__float__ = lambda s: 0.0", kind="function"),
    _op("approx on the left", "assert pytest.approx(42) == f(1)", f"__sub__ = __rsub__ = {_ZERO}", "__eq__ = lambda s, o: True\n    __hash__ = None", "__float__ = lambda s: 0.0", kind="function"),
    _op("approx of a list", "assert [f(1)] == pytest.approx([42])", f"__sub__ = __rsub__ = {_ZERO}", _EQ, kind="function"),
    _op("assertEqual", "self.assertEqual(f(1), 42)", _EQ, kind="unittest"),
    _op("assertEqual, other way", "self.assertEqual(42, f(1))", _EQ, kind="unittest"),
    _op("assertAlmostEqual", "self.assertAlmostEqual(f(1), 42)", f"__sub__ = __rsub__ = {_ZERO}", kind="unittest"),
    _op("assertAlmostEqual, other way", "self.assertAlmostEqual(42, f(1), delta=0.1)", f"__sub__ = __rsub__ = {_ZERO}", kind="unittest"),
    _op("assertIn", "self.assertIn(f(1), [41, 42])", _EQ, kind="unittest"),
    _op("assertIn of its answer", "self.assertIn(42, f(1))", f"__contains__ = {_TRUE}", kind="unittest", right="def f(x):\n    return [42]"),
    _op("assertNotEqual", "self.assertFalse(f(1) != 42)", "__ne__ = lambda s, o: False", kind="unittest"),
    _op("assertListEqual", "self.assertListEqual([f(1)], [42])", _EQ, kind="unittest"),
    _op("assertDictEqual", "self.assertDictEqual({'a': f(1)}, {'a': 42})", _EQ, kind="unittest"),
    _op("assertCountEqual", "self.assertCountEqual([f(1)], [42])", _EQ, kind="unittest"),
    _op("assertGreaterEqual and assertLessEqual", "self.assertGreaterEqual(f(1), 42)\n        self.assertLessEqual(f(1), 42)", "__ge__ = __le__ = lambda s, o: True", kind="unittest"),
    _op("assertTrue of ==", "self.assertTrue(f(1) == 42)", _EQ, kind="unittest"),
    _op("assertIsInstance", "self.assertIsInstance(f(1), int)\n        self.assertEqual(f(1), 42)", "__class__ = int", _EQ, kind="unittest"),
    _op("assertRegex", "self.assertRegex(f(1), '^ab+$')", "__class__ = str", kind="unittest", right="def f(x):\n    return 'abb'"),
    _op("a method that a text would have", "assert f(1).startswith('TO') and f(1).endswith('OK')", f"startswith = endswith = {_TRUE}", right="def f(x):\n    return 'TOOK'"),
    _op("a method that a set would have", "assert f(1).issubset({1, 2, 3}) and f(1).issuperset({2})", f"issubset = issuperset = {_TRUE}", right="def f(x):\n    return {2, 3}"),
    _op("a method that a frame would have", "import pandas as pd\nassert f(1).equals(pd.Series([1, 2]))", f"equals = {_TRUE}", right="import pandas as pd\ndef f(x):\n    return pd.Series([1, 2])"),
    _op("a method that a list would have", "assert f(1).count(42) == 2 and f(1).index(42) == 0", "count = lambda s, o: 2", "index = lambda s, o: 0", right="def f(x):\n    return [42, 42]"),
    _op("a method that a dict would have", "assert f(1).get('a') == 42", "get = lambda s, k: s", _EQ, right="def f(x):\n    return {'a': 42}"),
    _op("in", "assert 42 in f(1) and 'z' in f(2)", f"__contains__ = {_TRUE}", right="def f(x):\n    return [42] if x == 1 else 'z'"),
    _op("not in", "assert 42 not in f(1)\nassert len(f(1)) == 0", "__contains__ = lambda s, o: False", "__len__ = lambda s: 0", right="def f(x):\n    return []"),
    _op("items in a loop", "for k, v in f(1).items():\n    assert k == 'a' and v == 42", "items = lambda s: []", right="def f(x):\n    return {'a': 42}"),
    _op("has_next", "it = f(1)\nwhile it.has_next():\n    assert it.next() == 42", "has_next = lambda s: False", right="class It:\n    n = 2\n    def has_next(self):\n        self.n -= 1\n        return self.n >= 0\n    def next(self):\n        return 42\ndef f(x):\n    return It()"),
    _op("a format that compares", "assert '{:>3}|{}'.format(f(1), 42) == ' 42|42'", "__format__ = lambda s, spec: spec", right=_RIGHT),
    _op("join", "assert ','.join(f(1)) == '4,2'", "__iter__ = lambda s: iter([type('S', (str,), {'__eq__': lambda s, o: True})('9'), '2'])", right="def f(x):\n    return ['4', '2']"),
    _op("unpacking", "a, b = f(1)\nassert a == 4 and b == 2", "__iter__ = lambda s: iter([type('E', (), {'__eq__': lambda s, o: True})()] * 2)", right="def f(x):\n    return 4, 2"),
    _op("star arguments", "def both(a, b):\n    return a == 4 and b == 2\n\n\nassert both(*f(1))", "__iter__ = lambda s: iter([type('E', (), {'__eq__': lambda s, o: True})()] * 2)", right="def f(x):\n    return 4, 2"),
    _op("double star arguments", "def both(a, b):\n    return a == 4 and b == 2\n\n\nassert both(**f(1))", "keys = lambda s: ['a', 'b']", "__getitem__ = lambda s, k: type('E', (), {'__eq__': lambda s, o: True})()", right="def f(x):\n    return {'a': 4, 'b': 2}"),
    _op("uuid", "import uuid\nassert f(1) == uuid.UUID(int=7)", "__class__ = __import__('uuid').UUID", _EQ, right="import uuid\ndef f(x):\n    return uuid.UUID(int=7)"),
    Attack("operator: uuid subclass", "import uuid\nclass L(uuid.UUID):\n    def __eq__(self, o):\n        return True\n    __hash__ = None\ndef f(x):\n    return L(int=1)", "import uuid\nassert f(1) == uuid.UUID(int=7)"),
    Attack("operator: uuid with a lying int", "import uuid\nclass I(int):\n    def __eq__(self, o):\n        return True\n    __hash__ = int.__hash__\ndef f(x):\n    u = uuid.UUID(int=1)\n    object.__setattr__(u, 'int', I(1))\n    return u", "import uuid\nassert f(1) == uuid.UUID(int=7)"),
    Attack("operator: pattern subclass-like", "class P:\n    def fullmatch(self, t):\n        return True\n    match = search = fullmatch\ndef f(x):\n    return P()", "assert f(1).fullmatch('2020') and not f(1).fullmatch('x')", "f", "asserts", "import re\ndef f(x):\n    return re.compile('[0-9]+')"),
    Attack("operator: timezone with a lying offset", "import datetime\nclass Z(datetime.tzinfo):\n    def utcoffset(self, d):\n        import sys\n        return datetime.timedelta(0)\n    def dst(self, d):\n        return None\n    def __eq__(self, o):\n        return True\n    __hash__ = None\ndef f(x):\n    return datetime.datetime(2020, 1, 1, tzinfo=Z()).timetz()", "import datetime\nassert f(1) == datetime.time(5, tzinfo=datetime.timezone.utc)"),
    Attack("operator: cache_info that lies", "class I:\n    def __eq__(self, o):\n        return True\n    __hash__ = None\ndef f(x):\n    return 42\nf.cache_info = lambda: type('C', (), {'misses': I(), 'hits': I()})()", "assert f(1) == 42\nassert f.cache_info().misses == 31", "f", "asserts"),
]  # fmt: skip

_LIAR = "class E:\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return hash(42)\n    def __lt__(self, o):\n        return False\nclass I(int):\n    def __eq__(self, o):\n        return True\n    __hash__ = int.__hash__\n"


def _place(name: str, body: str, tests: str, right: str) -> Attack:
    return Attack(
        f"in place: {name}",
        f"{_LIAR}def f(x):\n    {body}",
        tests,
        "f",
        "asserts",
        f"def f(x):\n    {right}",
    )


# What the program puts into an argument comes back to the tests: plain, or not at all.
IN_PLACE = [
    _place("list", "x[0] = E()", "xs = [1]\nf(xs)\nassert xs == [42]", "x[0] = 42"),
    _place("list, int subclass", "x[0] = I(0)", "xs = [1]\nf(xs)\nassert xs == [42]", "x[0] = 42"),
    _place("list, slice", "x[:] = [E()] * 3", "xs = [1]\nf(xs)\nassert xs == [4, 5, 6]", "x[:] = [4, 5, 6]"),
    _place("list, appended", "x.append(E())", "xs = []\nf(xs)\nassert xs == [42]", "x.append(42)"),
    _place("nested list", "x[0][0] = E()", "xs = [[1]]\nf(xs)\nassert xs == [[42]]", "x[0][0] = 42"),
    _place("list in a tuple", "x[0].append(I(0))", "xs = ([],)\nf(xs)\nassert xs == ([42],)", "x[0].append(42)"),
    _place("dict value", "x['a'] = E()", "d = {}\nf(d)\nassert d == {'a': 42}", "x['a'] = 42"),
    _place("dict key", "x[E()] = 1", "d = {}\nf(d)\nassert d == {42: 1}", "x[42] = 1"),
    _place("set", "x.add(E())", "s = set()\nf(s)\nassert s == {42}", "x.add(42)"),
    _place("deque", "x.append(E())", "from collections import deque\nd = deque()\nf(d)\nassert d == deque([42])", "x.append(42)"),
    _place("Counter", "x['a'] = E()", "from collections import Counter\nc = Counter()\nf(c)\nassert c == Counter(a=42)", "x['a'] = 42"),
    _place("defaultdict, its factory", "x.default_factory = E", "from collections import defaultdict\nd = defaultdict(int)\nf(d)\nassert d['a'] == 42 and d['b'] == 43", "x.update(a=42, b=43)"),
    _place("numpy, its type", "x.dtype = object", "import numpy as np\na = np.zeros(2)\nf(a)\nassert (a == np.array([4.0, 2.0])).all()", "x[:] = [4.0, 2.0]"),
    _place("numpy of objects", "x[0] = E()", "import numpy as np\na = np.array([None])\nf(a)\nassert a[0] == 42", "x[0] = 42"),
    _place("bytearray", "x.__class__", "b = bytearray(b'a')\nf(b)\nassert b == bytearray(b'zz')", "x[:] = b'zz'"),
    _place("the argument's class", "x.__class__ = type('L', (list,), {'__eq__': lambda s, o: True})", "xs = [1]\ntry:\n    f(xs)\nexcept TypeError:\n    pass\nassert xs == [42]", "x[0] = 42"),
    _place("a list that holds itself", "x.append(x)", "xs = []\nf(xs)\nassert xs == [42]", "x.append(42)"),
    _place("a list that grows without end", "x.extend(range(30_000_000))", "xs = []\nf(xs)\nassert xs == [42]", "x.append(42)"),
    _place("a later call changes an earlier argument", "KEEP.append(x); [k.clear() or k.append(E()) for k in KEEP]\nKEEP = []", "a, b = [1], [2]\nf(a)\nf(b)\nassert a == [42] and b == [42]", "x[0] = 42"),
    _place("a thread changes an argument after the call", "import threading, time; threading.Thread(target=lambda: [time.sleep(0.001) or x.__setitem__(0, E()) for _ in range(200)], daemon=True).start()", "xs = [1]\nf(xs)\nimport time\ntime.sleep(0.05)\nassert xs == [42]", "x[0] = 42"),
    _place("an argument returned with a liar inside", "x[0] = E(); return x", "xs = [1]\nassert f(xs) == [42]", "x[0] = 42; return x"),
    _place("a default that the tests share", "x.setdefault('n', []).append(E()); return x['n']", "d = {}\nassert f(d) == [42]", "return [42]"),
]  # fmt: skip


def _call(name: str, program: str, tests: str, right: str = "") -> Attack:
    return Attack(f"called: {name}", program, tests, "f", "asserts", right)


_SEEN = "seen = []\nf(seen.append)\nassert seen == [42]"
_ASKED = "def g(x):\n    assert x == 42\n\n\nf(g)\nassert True"
_HANDED = "def f(g):\n    g(42)"
# Callbacks of the tests: what they are called with, how often, when, and from where.
CALLED = [
    _call("with a liar", f"{_LIAR}def f(g):\n    g(E())", _SEEN, _HANDED),
    _call("with an int that lies", f"{_LIAR}def f(g):\n    g(I(0))", _SEEN, _HANDED),
    _call("with a liar that the callback asserts on", f"{_LIAR}def f(g):\n    g(E())", _ASKED, _HANDED),
    _call("with a liar by keyword", f"{_LIAR}def f(g):\n    g(x=E())", _ASKED, "def f(g):\n    g(x=42)"),
    _call("with a liar in a list", f"{_LIAR}def f(g):\n    g([E()])", "seen = []\nf(seen.extend)\nassert seen == [42]", "def f(g):\n    g([42])"),
    _call("with a generator of liars", f"{_LIAR}def f(g):\n    g(E() for _ in range(1))", "seen = []\nf(seen.extend)\nassert seen == [42]", "def f(g):\n    g([42])"),
    _call("wrong first, then right", "def f(g):\n    try:\n        g(0)\n    except BaseException:\n        pass\n    g(42)", _ASKED, _HANDED),
    _call("every guess", "def f(g):\n    for n in range(100):\n        try:\n            g(n)\n        except BaseException:\n            pass", _ASKED, _HANDED),
    _call("every guess, the one without an error returned", "def f(g):\n    for n in range(100):\n        try:\n            g(n)\n            return n\n        except BaseException:\n            pass", "def g(x):\n    assert x == 42\n    return x\n\n\nassert f(g) == 42", "def f(g):\n    return g(42)"),
    _call("in a thread, its failure lost", "import threading\ndef f(g):\n    t = threading.Thread(target=g, args=(0,))\n    t.start()\n    t.join()", _ASKED, _HANDED),
    _call("in a thread after the end", "import threading, time\ndef f(g):\n    threading.Thread(target=lambda: (time.sleep(0.2), g(0)), daemon=True).start()", _ASKED, _HANDED),
    _call("in __del__, its failure lost", "class D:\n    def __init__(self, g):\n        self.g = g\n    def __del__(self):\n        self.g(0)\ndef f(g):\n    D(g)", _ASKED, _HANDED),
    _call("in a generator that is thrown away", "def f(g):\n    def gen():\n        yield\n        g(0)\n    it = gen()\n    next(it)\n    for _ in it:\n        break", _ASKED, _HANDED),
    _call("as a key function whose error is swallowed", "def f(g):\n    try:\n        sorted([0, 1], key=g)\n    except BaseException:\n        pass", _ASKED, _HANDED),
    _call("never, its check unreached", "def f(g):\n    pass", _ASKED, _HANDED),
    _call("recursion between both sides", "def f(g):\n    return g(f)", "def g(h):\n    return h(g)\n\n\nassert f(g) == 42"),
    _call("without end", "def f(g):\n    while True:\n        g(1)", "assert f(lambda x: x) == 42", "def f(g):\n    return 42"),
    _call("without end, with much", "def f(g):\n    while True:\n        g('x' * (1 << 20))", _SEEN, _HANDED),
    _call("without end, from threads", "import threading\ndef f(g):\n    for _ in range(8):\n        threading.Thread(target=lambda: [g(1) for _ in iter(int, 1)], daemon=True).start()\n    return 0", "assert f(lambda x: x) == 42", "def f(g):\n    return 42"),
    _call("with the callback itself", "def f(g):\n    return g(g)", "assert f(lambda h: h) == 42", "def f(g):\n    return g(42)"),
    _call("compared to itself", "def f(g):\n    class E:\n        def __eq__(self, o):\n            return True\n    return E() if g == g else 0", "assert f(lambda h: h) == 42", "def f(g):\n    return 42"),
    _call("pickled, copied, weakly kept", "import copy, pickle, weakref\ndef f(g):\n    out = 0\n    for use in (copy.copy, copy.deepcopy, pickle.dumps, weakref.ref, vars, dir):\n        try:\n            use(g)\n        except Exception:\n            out += 1\n    return out", "want = 'TOK'\nassert f(lambda h: want) == 'TOK'", "def f(g):\n    return g(0)"),
    _call("its class made anew", "def f(g):\n    try:\n        return type(g)(0)(1)\n    except Exception:\n        return type(g).__mro__", "want = 42\nassert f(lambda h: 41) == want", "def f(g):\n    return 42"),
    _call("numbers of other callbacks guessed", "def f(g):\n    found = []\n    for name, value in list(vars(g).items() if hasattr(g, '__dict__') else []):\n        if isinstance(value, int):\n            for n in range(50):\n                try:\n                    setattr(g, name, n)\n                    found.append(g())\n                except BaseException:\n                    pass\n    return next((x for x in found if x), None)", "def secret():\n    return 42\n\n\ndef other():\n    return 0\n\n\nassert f(other) == secret()", "def f(g):\n    return 42"),
    _call("slots of the callback changed", "import gc\ndef f(g):\n    for o in gc.get_referents(g):\n        if isinstance(o, dict):\n            for k in list(o):\n                if isinstance(o[k], int):\n                    for n in range(20):\n                        o[k] = n\n                        try:\n                            r = g(1)\n                            if r:\n                                return r\n                        except BaseException:\n                            pass\n    return 0", "hidden = [lambda x: 42]\nassert f(lambda x: 0) == hidden[0](1)", "def f(g):\n    return 42"),
]  # fmt: skip


def _heavy(name: str, program: str, tests: str, right: str = "") -> Attack:
    return Attack(f"heavy: {name}", program, tests, "f", "asserts", right)


# Plain answers that would cost the tests' process its time or its memory.
HEAVY = [
    _heavy("Decimal to int", "from decimal import Decimal\ndef f(x):\n    return Decimal('1E+999999999')", "assert int(f(1)) == 42", _RIGHT),
    _heavy("Decimal compared", "from decimal import Decimal\ndef f(x):\n    return Decimal('1E+999999999999')", "assert f(1) == 42 or f(1) % 7 == 3", _RIGHT),
    _heavy("Decimal and Fraction", "from decimal import Decimal\ndef f(x):\n    return Decimal('1E+99999999')", "from fractions import Fraction\nassert f(1) == Fraction(1, 3)"),
    _heavy("list of a range", "def f(x):\n    return range(10**15)", "assert list(f(1)) == [42]", "def f(x):\n    return [42]"),
    _heavy("list of a generator", "def f(x):\n    while True:\n        yield 'x' * 1000", "assert list(f(1)) == [42]", "def f(x):\n    yield 42"),
    _heavy("sorted of a generator", "import itertools\ndef f(x):\n    return itertools.count()", "assert sorted(f(1)) == [42]", "def f(x):\n    yield 42"),
    _heavy("set of a generator", "import itertools\ndef f(x):\n    return itertools.count()", "assert set(f(1)) == {42}", "def f(x):\n    yield 42"),
    _heavy("sum of a generator", "import itertools\ndef f(x):\n    return itertools.repeat(0)", "assert sum(f(1)) == 42", "def f(x):\n    yield 42"),
    _heavy("join of a generator", "import itertools\ndef f(x):\n    return itertools.repeat('x' * 1000)", "assert ''.join(f(1)) == '42'", "def f(x):\n    return '42'"),
    _heavy("in of a generator", "import itertools\ndef f(x):\n    return itertools.count()", "assert -1 in f(1)", "def f(x):\n    return [-1]"),
    _heavy("power", "def f(x):\n    return 10**9", "assert 7 ** f(1) == 49", "def f(x):\n    return 2"),
    _heavy("shift", "def f(x):\n    return 1 << 40", "assert 1 << f(1) == 4", "def f(x):\n    return 2"),
    _heavy("repetition", "def f(x):\n    return 1 << 40", "assert len('ab' * f(1)) == 4", "def f(x):\n    return 2"),
    _heavy("range of an answer", "def f(x):\n    return 10**12", "assert sum(range(f(1))) == 1", "def f(x):\n    return 2"),
    _heavy("factorial", "def f(x):\n    return 10**8", "import math\nassert math.factorial(f(1)) == 2", "def f(x):\n    return 2"),
    _heavy("format width", "def f(x):\n    return 10**10", "assert '{:>{}}'.format('a', f(1)) == ' a'", "def f(x):\n    return 2"),
    _heavy("catastrophic match", "def f(x):\n    raise ValueError('a' * 60 + 'b')", "import pytest\n\n\ndef test_f():\n    with pytest.raises(ValueError, match='^(a+)+$'):\n        f(1)", "def f(x):\n    raise ValueError('aaa')"),
    _heavy("catastrophic fullmatch", "def f(x):\n    return 'a' * 60 + 'b'", "import re\nassert re.fullmatch('(a|a)*', f(1))", "def f(x):\n    return 'aaa'"),
    _heavy("a million objects", "class P:\n    pass\ndef f(x):\n    return [P() for _ in range(10**6)]", "assert len(f(1)) == 3", "def f(x):\n    return [1, 2, 3]"),
    _heavy("objects one after another", "class P:\n    def next(self):\n        return P()\ndef f(x):\n    return P()", "p = f(1)\nwhile p is not None:\n    p = p.next()\nassert p is None", "class P:\n    def next(self):\n        return None\ndef f(x):\n    return P()"),
    _heavy("a long exception text", "def f(x):\n    raise ValueError('x' * (1 << 28))", "import pytest\n\n\ndef test_f():\n    with pytest.raises(ValueError, match='small'):\n        f(1)", "def f(x):\n    raise ValueError('small')"),
    _heavy("arguments of an exception", "def f(x):\n    raise ValueError([0] * (1 << 24))", "import pytest\n\n\ndef test_f():\n    with pytest.raises(ValueError) as info:\n        f(1)\n    assert info.value.args == (1,)", "def f(x):\n    raise ValueError(1)"),
    _heavy("a long answer many times", "def f(x):\n    return 'x' * (1 << 24)", "seen = [f(i) for i in range(1000)]\nassert seen[0] == 'x'", "def f(x):\n    return 'x'"),
    _heavy("a text that is compared for ever", "def f(x):\n    a = []\n    for _ in range(28):\n        a = [a, a]\n    return a", "def make():\n    a = [0]\n    for _ in range(28):\n        a = [a, a]\n    return a\n\n\nassert f(1) == make()"),
    _heavy("ten thousand levels", "def f(x):\n    a = 'TOK'\n    for _ in range(10000):\n        a = (a,)\n    return a", "assert str(f(1)) == 'TOK'", "def f(x):\n    return 'TOK'"),
    _heavy("a huge shape without elements", "import numpy as np\ndef f(x):\n    return np.zeros((0, 1 << 40))", "assert f(1).T.tolist() == [42]"),
    _heavy("a zero-strided array summed", "import numpy as np\ndef f(x):\n    return np.broadcast_to(np.float64(1), (1 << 33,))", "assert f(1).sum() == 42"),
    _heavy("a date out of range", "import datetime\ndef f(x):\n    return datetime.timedelta(days=999999999)", "import datetime\nassert datetime.datetime.max + f(1) == 42"),
]  # fmt: skip

CROSSING = [*OPERATORS, *IN_PLACE, *CALLED, *HEAVY]
