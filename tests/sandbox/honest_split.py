"""Honest programs whose tests need plain data, handles and plain callbacks only: the split lane's."""

from __future__ import annotations

from typing import Any, NamedTuple


class Honest(NamedTuple):
    """A right program, tests that real pytest passes it by, and (mostly) a wrong one."""

    name: str
    program: str
    tests: str
    style: str
    expected_lane: str
    wrong: str = ""
    entry_point: str = "f"


class _Task(NamedTuple):
    name: str
    program: str
    wrong: str
    cases: list[tuple[tuple[Any, ...], Any]]


_TASKS = [
    _Task("add", "def f(a, b):\n    return a + b", "def f(a, b):\n    return a - b", [((1, 2), 3), ((0, -1), -1), ((10, 5), 15)]),
    _Task("vowels", "def f(s):\n    return sum(c in 'aeiou' for c in s.lower())", "def f(s):\n    return sum(c in 'aeiou' for c in s)", [(("Apple",), 2), (("xyz",), 0), (("",), 0)]),
    _Task("unique in order", "def f(xs):\n    return list(dict.fromkeys(xs))", "def f(xs):\n    return sorted(set(xs), reverse=True)", [(([3, 1, 3, 2],), [3, 1, 2]), (([],), []), ((["b", "a", "b"],), ["b", "a"])]),
    _Task("word count", "def f(text):\n    out = {}\n    for w in text.split():\n        out[w] = out.get(w, 0) + 1\n    return out", "def f(text):\n    return {w: 1 for w in text.split()}", [(("a b a",), {"a": 2, "b": 1}), (("",), {})]),
    _Task("transpose", "def f(m):\n    return [list(r) for r in zip(*m)]", "def f(m):\n    return m", [(([[1, 2], [3, 4]],), [[1, 3], [2, 4]]), (([],), [])]),
    _Task("min and max", "def f(xs):\n    return (min(xs), max(xs))", "def f(xs):\n    return (xs[0], xs[-1])", [(([3, 1, 2],), (1, 3)), (([5],), (5, 5))]),
    _Task("set of primes", "def f(n):\n    return {p for p in range(2, n) if all(p % d for d in range(2, p))}", "def f(n):\n    return {p for p in range(2, n) if p % 2}", [((10,), {2, 3, 5, 7}), ((2,), set())]),
    _Task("bytes", "def f(b):\n    return bytes(reversed(b))", "def f(b):\n    return b", [((b"abc",), b"cba"), ((b"",), b"")]),
    _Task("None for nothing", "def f(xs):\n    return max(xs) if xs else None", "def f(xs):\n    return max(xs) if xs else 0", [(([1, 4],), 4), (([],), None)]),
    _Task("booleans", "def f(s):\n    return s == s[::-1]", "def f(s):\n    return len(s) % 2 == 1", [(("abba",), True), (("abc",), False)]),
    _Task("nested", "def f(x):\n    return {'a': [x, (x, {x})], 'b': None}", "def f(x):\n    return {'a': [x, [x, {x}]], 'b': None}", [((1,), {"a": [1, (1, {1})], "b": None})]),
    _Task("big integers", "def f(n):\n    return 2 ** n", "def f(n):\n    return int(2.0 ** n) + (n > 60)", [((100,), 2**100), ((3,), 8)]),
    _Task("unicode", "def f(s):\n    return s.upper()", "def f(s):\n    return s", [(("straße",), "STRASSE"), (("naïve ☃",), "NAÏVE ☃")]),
    _Task("integers stay integers", "def f(x):\n    return x // 2", "def f(x):\n    return x // 2 + (x > 8)", [((7,), 3), ((9,), 4)]),
    _Task("dict with integer keys", "def f(xs):\n    return {i: x for i, x in enumerate(xs)}", "def f(xs):\n    return {str(i): x for i, x in enumerate(xs)}", [((["a"],), {0: "a"}), (([],), {})]),
    _Task("dict with tuple keys", "def f(n):\n    return {(i, j): i * j for i in range(n) for j in range(n)}", "def f(n):\n    return {}", [((2,), {(0, 0): 0, (0, 1): 0, (1, 0): 0, (1, 1): 1})]),
    _Task("frozenset", "def f(xs):\n    return frozenset(xs)", "def f(xs):\n    return frozenset(xs[1:])", [(([1, 2],), frozenset({1, 2}))]),
    _Task("complex", "def f(a, b):\n    return complex(a, b) ** 2", "def f(a, b):\n    return complex(a, b)", [((0, 1), -1 + 0j), ((3, 4), -7 + 24j)]),
    _Task("keyword default", "def f(x, base=10):\n    return int(str(x), base)", "def f(x, base=10):\n    return int(str(x))", [((11, 2), 3), ((11,), 11)]),
    _Task("variable arguments", "def f(*xs):\n    return list(xs)[::-1]", "def f(*xs):\n    return list(xs)", [((1, 2, 3), [3, 2, 1]), ((), [])]),
]  # fmt: skip


def _call(arguments: tuple[Any, ...], name: str = "f") -> str:
    return f"{name}({', '.join(map(repr, arguments))})"


def _is_one(want: Any) -> bool:
    return want is None or isinstance(want, bool)


def _compare(arguments: tuple[Any, ...], want: Any, name: str = "f") -> str:
    return f"{_call(arguments, name)} {'is' if _is_one(want) else '=='} {want!r}"


def _asserts(task: _Task) -> str:
    return "\n".join(f"assert {_compare(*case)}" for case in task.cases)


def _check(task: _Task) -> str:
    lines = "\n".join(
        f"    assert {_compare(*case, 'candidate')}, 'case {n}'"
        for n, case in enumerate(task.cases)
    )
    return f"METADATA = {{'author': 'jt', 'dataset': 'test'}}\n\n\ndef check(candidate):\n    # simple cases\n{lines}\n    assert True, 'done'\n\n\ncheck(f)"


def _functions(task: _Task) -> str:
    return "\n\n\n".join(
        f"def test_case_{n}():\n    result = {_call(arguments)}\n    assert result == {want!r}"
        for n, (arguments, want) in enumerate(task.cases)
    )


def _parametrize(task: _Task) -> str:
    return f"import pytest\n\nCASES = {task.cases!r}\n\n\n@pytest.mark.parametrize('arguments, want', CASES)\ndef test_f(arguments, want):\n    assert f(*arguments) == want"


def _unittest(task: _Task) -> str:
    methods = "\n\n".join(
        f"    def test_{n}(self):\n        self.assertEqual({_call(arguments)}, {want!r})"
        for n, (arguments, want) in enumerate(task.cases)
    )
    return f"import unittest\n\n\nclass TestF(unittest.TestCase):\n{methods}\n\n\nif __name__ == '__main__':\n    unittest.main()"


def _loop(task: _Task) -> str:
    return f"cases = {task.cases!r}\nfor arguments, want in cases:\n    assert f(*arguments) == want, f'{{arguments}}'"


def _class(task: _Task) -> str:
    return "class TestF:\n" + "\n\n".join(
        f"    def test_{n}(self):\n        assert f(*{arguments!r}) == {want!r}"
        for n, (arguments, want) in enumerate(task.cases)
    )


def _evalplus(task: _Task) -> str:
    inputs = [list(arguments) for arguments, _ in task.cases]
    return f"import copy\n\nREFERENCE = {task.program!r}\nINPUTS = {inputs!r}\n\n\ndef plus_check(candidate):\n    names = {{'__name__': 'reference'}}\n    exec(REFERENCE, names)\n    for arguments in INPUTS:\n        expected = names['f'](*copy.deepcopy(arguments))\n        actual = candidate(*copy.deepcopy(arguments))\n        assert actual == expected, f'f({{arguments}}) gave {{actual!r}}, expected {{expected!r}}'\n\n\nplus_check(f)"


_STYLES = {"asserts": _asserts, "check": _check, "functions": _functions, "parametrize": _parametrize, "unittest": _unittest, "loop": _loop, "class": _class, "evalplus": _evalplus}  # fmt: skip


def _tasks() -> list[Honest]:
    names = list(_STYLES)
    return [
        Honest(f"{task.name} [{style}]", task.program, _STYLES[style](task), style, "split", task.wrong)
        for number, task in enumerate(_TASKS)
        for style in (names[(number + step) % len(names)] for step in (0, 2, 3, 5, 7))
    ]  # fmt: skip


def _other(name: str, *parts: str, entry_point: str = "f") -> Honest:
    """What reads as plain and is not: membership asks an object, a fixture is pytest's, and a
    value that only the program names may be a library's name that it took."""
    return _split(name, *parts, entry_point=entry_point)._replace(expected_lane="together")


def _split(
    name: str,
    program: str,
    tests: str,
    wrong: str = "",
    style: str = "asserts",
    entry_point: str = "f",
) -> Honest:
    return Honest(name, program, tests, style, "split", wrong, entry_point)


_STACK = "class Stack:\n    def __init__(self, items=()):\n        self.items = list(items)\n    def push(self, x):\n        self.items.append(x)\n    def pop(self):\n        if not self.items:\n            raise IndexError('empty stack')\n        return self.items.pop()\n    def __len__(self):\n        return len(self.items)\n    @property\n    def top(self):\n        return self.items[-1]\n    def __contains__(self, x):\n        return x in self.items\n    def __iter__(self):\n        return iter(list(self.items))\n    def __getitem__(self, i):\n        return self.items[i]\n    def __repr__(self):\n        return f'Stack({self.items})'"
_QUEUE = _STACK.replace("self.items.pop()", "self.items.pop(0)")
_ACCOUNT = "class Account:\n    def __init__(self, owner, balance=0):\n        self.owner = owner\n        self.balance = balance\n    def deposit(self, amount):\n        if amount <= 0:\n            raise ValueError('amount must be positive')\n        self.balance += amount\n        return self\n    def history(self):\n        return [('open', self.owner)]"
_WRONG_ACCOUNT = _ACCOUNT.replace("self.balance += amount", "self.balance = amount").replace(
    "raise ValueError('amount must be positive')", "return self"
)

_HANDLES = [
    _split("stack, push and pop", _STACK, "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2\nassert s.pop() == 1", _QUEUE, entry_point="Stack"),
    _split("stack, len", _STACK, "s = Stack([1, 2])\ns.push(3)\nassert len(s) == 3\ns.pop()\nassert len(s) == 2", _STACK.replace("return len(self.items)", "return 3"), entry_point="Stack"),
    _split("stack, property", _STACK, "def test_top():\n    s = Stack()\n    s.push('a')\n    assert s.top == 'a'\n    s.push('b')\n    assert s.top == 'b'", _STACK.replace("self.items[-1]", "self.items[0]"), "functions", "Stack"),
    _other("stack, in", _STACK, "s = Stack([4])\nassert 4 in s\nassert 5 not in s", _STACK.replace("x in self.items", "True"), entry_point="Stack"),
    _split("stack, iteration", _STACK, "s = Stack([4, 5])\nassert list(s) == [4, 5]\nassert [x + 1 for x in s] == [5, 6]", _STACK.replace("iter(list(self.items))", "iter(self.items[::-1])"), entry_point="Stack"),
    _split("stack, item", _STACK, "s = Stack([4, 5])\nassert s[0] == 4\nassert s[-1] == 5", _STACK.replace("self.items[i]", "self.items[0]"), entry_point="Stack"),
    _split("stack, repr", _STACK, "assert repr(Stack([1])) == 'Stack([1])'\nassert str(Stack()) == 'Stack([])'", _STACK.replace("f'Stack({self.items})'", "'Stack'"), entry_point="Stack"),
    _split("stack, pop of an empty one", _STACK, "import pytest\n\n\ndef test_empty():\n    with pytest.raises(IndexError):\n        Stack().pop()", _STACK.replace("raise IndexError('empty stack')", "return None"), "functions", "Stack"),
    _split("stack, unittest with setUp", _STACK, "import unittest\n\n\nclass TestStack(unittest.TestCase):\n    def setUp(self):\n        self.stack = Stack()\n        self.stack.push(1)\n\n    def test_pop(self):\n        self.stack.push(2)\n        self.assertEqual(self.stack.pop(), 2)\n        self.assertEqual(len(self.stack), 1)\n\n    def test_empty(self):\n        self.stack.pop()\n        with self.assertRaises(IndexError):\n            self.stack.pop()", _QUEUE, "unittest", "Stack"),
    _split("account, attribute and chain", _ACCOUNT, "a = Account('ann', 10)\nassert a.owner == 'ann'\na.deposit(5).deposit(6)\nassert a.balance == 21", _WRONG_ACCOUNT, entry_point="Account"),
    _split("account, keyword arguments", _ACCOUNT, "a = Account(owner='bob', balance=3)\nassert (a.owner, a.balance) == ('bob', 3)\na.deposit(amount=4)\nassert a.balance == 7", _WRONG_ACCOUNT, entry_point="Account"),
    _split("account, raises with match", _ACCOUNT, "import pytest\n\n\ndef test_deposit():\n    a = Account('x')\n    with pytest.raises(ValueError, match='positive'):\n        a.deposit(-1)\n    assert a.balance == 0", _WRONG_ACCOUNT, "functions", "Account"),
    _split("account, assertRaises as a call", _ACCOUNT, "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_it(self):\n        self.assertRaises(ValueError, Account('x').deposit, 0)", _WRONG_ACCOUNT, "unittest", "Account"),
    _split("two handles apart", _ACCOUNT, "a, b = Account('a'), Account('b')\na.deposit(1)\nassert a.balance == 1\nassert b.balance == 0", "class Account:\n    balance = 0\n    def __init__(self, o):\n        pass\n    def deposit(self, x):\n        Account.balance += x", entry_point="Account"),
    _split("handle in a function of the tests", _STACK, "def fill(n):\n    s = Stack()\n    for i in range(n):\n        s.push(i)\n    return s\n\n\ndef test_fill():\n    assert len(fill(4)) == 4\n    assert fill(3).pop() == 2", _QUEUE, "functions", "Stack"),
    _split("linked list", "class Node:\n    def __init__(self, value, next=None):\n        self.value = value\n        self.next = next\ndef f(values):\n    head = None\n    for v in reversed(values):\n        head = Node(v, head)\n    return head", "n = f([1, 2, 3])\nassert n.value == 1\nassert n.next.value == 2\nassert n.next.next.next is None", "class Node:\n    def __init__(self, value, next=None):\n        self.value = value\n        self.next = next\ndef f(values):\n    head = None\n    for v in values:\n        head = Node(v, head)\n    return head"),
    _split("factory and a closure", "def f(start):\n    n = start\n    def count():\n        nonlocal n\n        n += 1\n        return n\n    return count", "c = f(5)\nassert c() == 6\nassert c() == 7\nd = f(0)\nassert d() == 1", "def f(start):\n    return lambda: start + 1"),
    _split("class attribute and static method", "class f:\n    LIMIT = 5\n    @staticmethod\n    def clip(x):\n        return min(x, f.LIMIT)\n    @classmethod\n    def default(cls):\n        return cls.LIMIT", "assert f.LIMIT == 5\nassert f.clip(9) == 5\nassert f.clip(2) == 2\nassert f.default() == 5", "class f:\n    LIMIT = 5\n    @staticmethod\n    def clip(x):\n        return x\n    @classmethod\n    def default(cls):\n        return cls.LIMIT"),
    _split("generator, list of it", "def f(n):\n    a, b = 0, 1\n    for _ in range(n):\n        yield a\n        a, b = b, a + b", "assert list(f(6)) == [0, 1, 1, 2, 3, 5]\nassert sum(f(5)) == 7", "def f(n):\n    return iter(range(n))"),
    _split("generator, next", "def f():\n    n = 0\n    while True:\n        yield n\n        n += 2", "g = f()\nassert next(g) == 0\nassert next(g) == 2\nassert [next(g) for _ in range(3)] == [4, 6, 8]", "def f():\n    n = 0\n    while True:\n        yield n\n        n += 1"),
    _split("counter object called", "class f:\n    def __init__(self):\n        self.n = 0\n    def __call__(self, by=1):\n        self.n += by\n        return self.n", "c = f()\nassert c() == 1\nassert c(by=5) == 6", "class f:\n    def __init__(self):\n        self.n = 0\n    def __call__(self, by=1):\n        self.n += 1\n        return self.n"),
    _split("mapping object", "class f:\n    def __init__(self):\n        self.d = {}\n    def __setitem__(self, k, v):\n        self.d[k.lower()] = v\n    def __getitem__(self, k):\n        return self.d[k.lower()]\n    def __delitem__(self, k):\n        del self.d[k.lower()]\n    def __len__(self):\n        return len(self.d)", "d = f()\nd['A'] = 1\nassert d['a'] == 1\nd['a'] = 2\nassert len(d) == 1\ndel d['A']\nassert len(d) == 0", "class f(dict):\n    pass"),
    _split("attribute set by the tests", "class f:\n    def __init__(self):\n        self.width = 2\n    @property\n    def area(self):\n        return self.width ** 2", "s = f()\nassert s.area == 4\ns.width = 5\nassert s.area == 25", "class f:\n    def __init__(self):\n        self.width = 2\n        self.area = 4"),
]  # fmt: skip

_CALLBACKS = [
    _split("callback, lambda", "def f(g, xs):\n    return [g(x) for x in xs]", "assert f(lambda x: x * 2, [1, 2]) == [2, 4]\nassert f(lambda x: None, []) == []", "def f(g, xs):\n    return xs"),
    _split("callback, function of the tests", "def f(g, n):\n    for _ in range(n):\n        g('hi')", "seen = []\n\n\ndef note(x):\n    seen.append(x)\n\n\nf(note, 3)\nassert seen == ['hi', 'hi', 'hi']", "def f(g, n):\n    g('hi')"),
    _split("callback, predicate", "def f(pred, xs):\n    return next((x for x in xs if pred(x)), None)", "def is_even(n):\n    return n % 2 == 0\n\n\nassert f(is_even, [1, 3, 4, 6]) == 4\nassert f(is_even, [1]) is None", "def f(pred, xs):\n    return xs[0]"),
    _split("callback, key", "def f(xs, key):\n    return sorted(xs, key=key)", "assert f(['bb', 'a'], key=lambda s: len(s)) == ['a', 'bb']\nassert f([(1, 'z'), (0, 'y')], key=lambda p: p[1]) == [(0, 'y'), (1, 'z')]", "def f(xs, key):\n    return xs[:]"),
    _split("callback, two arguments", "def f(op, xs, start):\n    for x in xs:\n        start = op(start, x)\n    return start", "assert f(lambda a, b: a + b, [1, 2, 3], 0) == 6\nassert f(lambda a, b: a * b, [2, 4], 1) == 8", "def f(op, xs, start):\n    return start + sum(xs)"),
    _split("memoised callback counts its calls", "def f(g):\n    memo = {}\n    def wrapped(x):\n        if x not in memo:\n            memo[x] = g(x)\n        return memo[x]\n    return wrapped", "calls = []\n\n\ndef slow(x):\n    calls.append(x)\n    return x * x\n\n\nfast = f(slow)\nassert fast(3) == 9\nassert fast(3) == 9\nassert calls == [3]", "def f(g):\n    return lambda x: g(x)"),
    _split("compose", "def f(*gs):\n    def composed(x):\n        for g in reversed(gs):\n            x = g(x)\n        return x\n    return composed", "h = f(lambda x: x + 1, lambda x: x * 2)\nassert h(3) == 7\nassert h(0) == 1", "def f(*gs):\n    def composed(x):\n        for g in gs:\n            x = g(x)\n        return x\n    return composed"),
    _split("callback raises and the program handles it", "def f(g, tries):\n    for n in range(tries):\n        try:\n            return g()\n        except ValueError:\n            pass\n    return None", "count = [0]\n\n\ndef flaky():\n    count[0] += 1\n    if count[0] < 3:\n        raise ValueError('not yet')\n    return 'ok'\n\n\nassert f(flaky, 5) == 'ok'\nassert count == [3]", "def f(g, tries):\n    try:\n        return g()\n    except ValueError:\n        return 'ok'"),
    _split("event emitter", "class f:\n    def __init__(self):\n        self.handlers = {}\n    def on(self, name, g):\n        self.handlers.setdefault(name, []).append(g)\n    def emit(self, name, *args):\n        return [g(*args) for g in self.handlers.get(name, [])]", "e = f()\ngot = []\ne.on('x', got.append)\ne.on('x', lambda v: v + 1)\nassert e.emit('x', 4) == [None, 5]\nassert got == [4]\nassert e.emit('y') == []", "class f:\n    def on(self, name, g):\n        self.g = g\n    def emit(self, name, *args):\n        return [self.g(*args)]"),
    _split("partition by a callback", "def f(xs, pred):\n    return [x for x in xs if pred(x)], [x for x in xs if not pred(x)]", "import pytest\n\n\n@pytest.mark.parametrize('xs, want', [([1, 2, 3], ([2], [1, 3])), ([], ([], []))])\ndef test_f(xs, want):\n    assert f(xs, lambda x: x % 2 == 0) == want", "def f(xs, pred):\n    return xs, []", "parametrize"),
]  # fmt: skip

_VALUES = [
    _split("floats with tolerance", "def f(xs):\n    return sum(xs) / len(xs)", "assert abs(f([1, 2, 4]) - 2.3333333) < 1e-6\nassert f([2.0]) == 2.0", "def f(xs):\n    return sum(xs) // len(xs)"),
    _split("math.isclose", "def f(r):\n    import math\n    return math.pi * r * r", "import math\nassert math.isclose(f(2), 12.566370614359172)\nassert f(0) == 0", "def f(r):\n    return 3.14 * r * r"),
    _split("pytest.approx", "def f(x):\n    return x / 3", "import pytest\n\n\ndef test_f():\n    assert f(1) == pytest.approx(0.3333333, rel=1e-5)\n    assert f(2) == pytest.approx(2 / 3)", "def f(x):\n    return 0.3", "functions"),
    _split("assertAlmostEqual", "def f(x):\n    return x / 3", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_f(self):\n        self.assertAlmostEqual(f(1), 0.33333333)\n        self.assertAlmostEqual(f(2), 0.667, places=2)\n        self.assertNotEqual(f(1), 0)", "def f(x):\n    return 0.3", "unittest"),
    _split("the plain assert methods", "def f(x):\n    return [x, None, True]", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_f(self):\n        out = f(4)\n        self.assertIn(4, out)\n        self.assertNotIn(5, out)\n        self.assertIsNone(out[1])\n        self.assertTrue(out[2])\n        self.assertIsInstance(out, list)\n        self.assertListEqual(out, [4, None, True])\n        self.assertGreater(len(out), 2)\n        self.assertCountEqual(out, [None, True, 4])", "def f(x):\n    return [x, None, False]", "unittest"),
    _split("subTest", "def f(n):\n    return n % 2 == 0", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_f(self):\n        for n in range(6):\n            with self.subTest(n=n):\n                self.assertEqual(f(n), n in (0, 2, 4))", "def f(n):\n    return n < 3", "unittest"),
    _split("sorted order does not matter", "def f(xs):\n    return list(set(xs))", "assert sorted(f([3, 1, 3])) == [1, 3]\nassert set(f([2, 2])) == {2}\nassert len(f([1, 1, 1])) == 1", "def f(xs):\n    return xs"),
    _other("nan", "def f(x):\n    return float('nan') if x is None else x", "import math\nassert math.isnan(f(None))\nassert f(1) == 1", "def f(x):\n    return 0.0 if x is None else x"),
    _split("infinity", "def f(xs):\n    return min(xs, default=float('inf'))", "assert f([]) == float('inf')\nassert f([2]) == 2", "def f(xs):\n    return min(xs, default=0)"),
    _split("Decimal", "from decimal import Decimal\ndef f(a, b):\n    return Decimal(a) + Decimal(b)", "from decimal import Decimal\nassert f('0.1', '0.2') == Decimal('0.3')", "from decimal import Decimal\ndef f(a, b):\n    return Decimal(float(a) + float(b))"),
    _split("Fraction", "from fractions import Fraction\ndef f(a, b):\n    return Fraction(a, b) + 1", "from fractions import Fraction\nassert f(1, 2) == Fraction(3, 2)", "from fractions import Fraction\ndef f(a, b):\n    return Fraction(a, b)"),
    _split("date", "import datetime\ndef f(y, m, d):\n    return datetime.date(y, m, d) + datetime.timedelta(days=1)", "import datetime\nassert f(2024, 2, 28) == datetime.date(2024, 2, 29)\nassert f(2023, 2, 28) == datetime.date(2023, 3, 1)", "import datetime\ndef f(y, m, d):\n    return datetime.date(y, m, d)"),
    _split("date handed over", "def f(day):\n    return day.strftime('%d.%m.%Y')", "from datetime import date\nassert f(date(2024, 5, 6)) == '06.05.2024'", "def f(day):\n    return str(day)"),
    _split("datetime and timedelta", "def f(a, b):\n    return b - a", "from datetime import datetime, timedelta\nassert f(datetime(2024, 1, 1), datetime(2024, 1, 2, 3)) == timedelta(days=1, hours=3)", "def f(a, b):\n    return a - b"),
    _split("numpy array by value", "import numpy as np\ndef f(xs):\n    return np.cumsum(xs)", "import numpy as np\nassert np.array_equal(f([1, 2, 3]), np.array([1, 3, 6]))\nassert f([1, 2]).shape == (2,)", "import numpy as np\ndef f(xs):\n    return np.array(xs)"),
    _split("numpy array handed over", "def f(a):\n    return (a * 2).tolist()", "import numpy as np\nassert f(np.array([[1, 2]])) == [[2, 4]]", "def f(a):\n    return a.tolist()"),
    _split("numpy.testing", "import numpy as np\ndef f(a):\n    return a / a.sum()", "import numpy as np\n\n\ndef test_f():\n    np.testing.assert_allclose(f(np.array([1.0, 3.0])), [0.25, 0.75])", "import numpy as np\ndef f(a):\n    return a", "functions"),
    _split("numpy scalars", "import numpy as np\ndef f(xs):\n    return np.mean(xs)", "assert abs(f([1, 2]) - 1.5) < 1e-9", "import numpy as np\ndef f(xs):\n    return np.max(xs)"),
    _split("list changed in place", "def f(xs):\n    xs.sort()", "xs = [3, 1, 2]\nassert f(xs) is None\nassert xs == [1, 2, 3]", "def f(xs):\n    sorted(xs)"),
    _split("list not changed", "def f(xs):\n    return sorted(xs)", "xs = [3, 1, 2]\nassert f(xs) == [1, 2, 3]\nassert xs == [3, 1, 2]", "def f(xs):\n    xs.sort()\n    return xs"),
    _split("dict changed in place", "def f(d, k):\n    d[k] = d.get(k, 0) + 1", "d = {'a': 1}\nf(d, 'a')\nf(d, 'b')\nassert d == {'a': 2, 'b': 1}", "def f(d, k):\n    return {**d, k: 1}"),
    _split("nested list changed in place", "def f(m):\n    for row in m:\n        row.reverse()", "m = [[1, 2], [3, 4]]\nf(m)\nassert m == [[2, 1], [4, 3]]", "def f(m):\n    m.reverse()"),
    _split("raises in a with statement", "def f(x):\n    if x < 0:\n        raise ValueError('negative')\n    return x ** 0.5", "import pytest\n\n\ndef test_f():\n    with pytest.raises(ValueError):\n        f(-1)\n    assert f(4) == 2", "def f(x):\n    return abs(x) ** 0.5", "functions"),
    _other("raises, value looked at", "def f(x):\n    raise KeyError(x)", "import pytest\n\n\ndef test_f():\n    with pytest.raises(KeyError) as info:\n        f('k')\n    assert info.value.args == ('k',)", "def f(x):\n    raise KeyError", "functions"),
    _split("try and except in the tests", "def f(x):\n    return 10 / x", "try:\n    f(0)\n    raised = False\nexcept ZeroDivisionError:\n    raised = True\nassert raised\nassert f(5) == 2", "def f(x):\n    return 10 / x if x else 0"),
    _split("exception class of the program", "class TooBig(Exception):\n    pass\ndef f(x):\n    if x > 9:\n        raise TooBig('too big')\n    return x", "import pytest\n\n\ndef test_f():\n    assert f(3) == 3\n    with pytest.raises(TooBig):\n        f(10)", "class TooBig(Exception):\n    pass\ndef f(x):\n    return min(x, 9)", "functions"),
    _other("several functions of the program", "def celsius(x):\n    return (x - 32) * 5 / 9\ndef fahrenheit(x):\n    return x * 9 / 5 + 32", "assert celsius(212) == 100\nassert fahrenheit(0) == 32\nassert celsius(fahrenheit(10)) == 10", "def celsius(x):\n    return (x - 32) * 5 / 9\ndef fahrenheit(x):\n    return x * 2 + 32", entry_point="celsius"),
    _other("constant of the program", "LIMITS = {'low': 1, 'high': 9}\ndef f(x):\n    return LIMITS['low'] <= x <= LIMITS['high']", "assert LIMITS['high'] == 9\nassert f(9) and not f(10)", "LIMITS = {'low': 1, 'high': 9}\ndef f(x):\n    return LIMITS['low'] <= x < LIMITS['high']"),
    _split("test variable called list", "def f(xs):\n    return list(xs)[::-1]", "list = [1, 2, 3]\nassert f(list) == [3, 2, 1]", "def f(xs):\n    return list(xs)"),
    _split("test variables called like the program's own", "helper = 3\ndef f(x):\n    return x + helper", "helper = 100\nresult = f(1)\nassert result == 4", "helper = 3\ndef f(x):\n    return x + 100"),
    _split("helpers of the tests", "def f(n):\n    return [i * i for i in range(n)]", "def is_square(n):\n    return int(n ** 0.5) ** 2 == n\n\n\nassert all(is_square(x) for x in f(10))\nassert len(f(10)) == 10", "def f(n):\n    return list(range(n))"),
    _split("reference of the tests", "def f(n):\n    return n * (n + 1) // 2", "def slow(n):\n    return sum(range(n + 1))\n\n\nfor n in range(30):\n    assert f(n) == slow(n)", "def f(n):\n    return n * (n - 1) // 2"),
    _split("plain assert of truth", "def f(s):\n    return s.isdigit()", "assert f('12')\nassert not f('a')\nassert f('') == False", "def f(s):\n    return True"),
    _split("types are asked for", "def f(x):\n    return float(x)", "assert isinstance(f(2), float)\nassert type(f(2)) is float\nassert f(2) == 2", "def f(x):\n    return x"),
    _split("strings with every character", "def f(s):\n    return s.split('\\n')", "assert f('a\\nb') == ['a', 'b']\nassert f('\\x00\\t\"') == ['\\x00\\t\"']", "def f(s):\n    return s.split()"),
    _split("OrderedDict, Counter, deque, defaultdict by value", "from collections import Counter, OrderedDict, deque\ndef f(xs):\n    return Counter(xs), deque(xs), OrderedDict.fromkeys(xs)", "from collections import Counter, OrderedDict, deque\nc, d, o = f('aab')\nassert c == Counter({'a': 2, 'b': 1})\nassert d == deque('aab')\nassert list(o) == ['a', 'b']", "from collections import Counter, OrderedDict, deque\ndef f(xs):\n    return Counter(set(xs)), deque(xs), OrderedDict.fromkeys(xs)"),
    _split("assert with a message computed", "def f(x):\n    return x * x", "for x in (1, 2, 3):\n    got = f(x)\n    assert got == x * x, f'{x}: {got}'", "def f(x):\n    return x * 2"),
    _split("MBPP-like, three asserts with sets", "def f(a, b):\n    return tuple(sorted(set(a) & set(b)))", "assert set(f((3, 4, 5, 6), (5, 7, 4, 10))) == set((4, 5))\nassert set(f((1, 2, 3, 4), (5, 4, 3, 7))) == set((3, 4))\nassert set(f((11, 12, 14, 13), (13, 15, 14))) == set((13, 14))", "def f(a, b):\n    return tuple(a)"),
    _other("plain fixture", "def f(xs):\n    return xs[::2]", "import pytest\n\n\n@pytest.fixture\ndef numbers():\n    return [1, 2, 3]\n\n\ndef test_f(numbers):\n    assert f(numbers) == [1, 3]", "def f(xs):\n    return xs[1::2]", "functions"),
    _split("parametrize with ids and two decorators", "def f(a, b):\n    return max(a, b)", "import pytest\n\n\n@pytest.mark.parametrize('a', [1, 5], ids=['one', 'five'])\n@pytest.mark.parametrize('b', [2, 3])\ndef test_f(a, b):\n    assert f(a, b) == (a if a > b else b)", "def f(a, b):\n    return a", "parametrize"),
    _split("parametrize with pytest.param", "def f(x):\n    return x + 1", "import pytest\n\n\n@pytest.mark.parametrize('x,want', [pytest.param(1, 2, id='a'), pytest.param(-1, 0, id='b')])\ndef test_f(x, want):\n    assert f(x) == want", "def f(x):\n    return abs(x) + 1", "parametrize"),
    _split("isclose in a zip", "def f(xs):\n    m = max(xs)\n    return [x / m for x in xs]", "want = [0.5, 1.0]\ngot = f([1, 2])\nassert len(got) == len(want)\nassert all(abs(a - b) < 1e-9 for a, b in zip(got, want))", "def f(xs):\n    return xs"),
    _split("recursion of a thousand", "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)", "assert f(500) == 500", "def f(n):\n    return n + 1"),
    _split("state kept between calls", "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)", "assert f('a') == 1\nassert f('b') == 2\nassert f('c') == 3", "def f(x):\n    return 1"),
    _split("program reads its own globals", "TABLE = {i: i * i for i in range(5)}\ndef f(x):\n    return globals()['TABLE'].get(x)", "assert f(3) == 9\nassert f(7) is None", "def f(x):\n    return x * x"),
    _split("program prints", "def f(x):\n    print('debug', x)\n    return x", "assert f(3) == 3\nassert f('a') == 'a'", "def f(x):\n    print(x)"),
    _split("program with a main guard", "def f(x):\n    return x + 1\nif __name__ == '__main__' and False:\n    raise SystemExit(1)", "assert f(1) == 2", "def f(x):\n    return x"),
    _split("tests handed a long list", "def f(xs):\n    return sum(xs)", "assert f(list(range(10000))) == 49995000", "def f(xs):\n    return len(xs)"),
    _split("tests with a docstring and a future import", "def f(x):\n    return x + 1", '"""Tests of f."""\n\nfrom __future__ import annotations\n\n\ndef test_f() -> None:\n    assert f(1) == 2', "def f(x):\n    return x", "functions"),
    _split("program with a future import", '"""Doc."""\nfrom __future__ import annotations\ndef f(x: Undefined) -> int:\n    return x + 1', "assert f(1) == 2", "from __future__ import annotations\ndef f(x):\n    return x"),
    _split("dict order does not matter, list order does", "def f(d):\n    return sorted(d.items(), key=lambda p: -p[1])", "assert f({'a': 1, 'b': 2}) == [('b', 2), ('a', 1)]", "def f(d):\n    return sorted(d.items())"),
]  # fmt: skip

SPLIT = [*_tasks(), *_HANDLES, *_CALLBACKS, *_VALUES]
