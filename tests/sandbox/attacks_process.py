"""Attacks on the processes: code in the tests' process, forged replies, floods, later verdicts."""

from __future__ import annotations

from tests.sandbox.attack_kinds import TESTS, Attack, Farming, Influence, Job, against

_42 = "def f(x):\n    return 42"
_ONE = "assert f(1) == 42"


def _take(name: str, program: str, tests: str, right: str = "", kind: str = "asserts") -> Attack:
    return Attack(f"take over: {name}", program, tests, "f", kind, right)


# What the pickle of this object runs wherever it is loaded.
_BOMB = "import os\nclass Bomb:\n    def __reduce__(self):\n        return (exec, ('import os\\nos._exit(0)',))\n"
_ANY = "class Any:\n    def __eq__(self, o):\n        return True\n    __hash__ = None\n"

TAKING_OVER = [
    _take("pickle.loads of the answer", f"{_BOMB}import pickle\ndef f(x):\n    return pickle.dumps(Bomb())", "import pickle\nassert pickle.loads(f(1)) == {'a': 1}", "import pickle\ndef f(x):\n    return pickle.dumps({'a': 1})"),
    _take("pickle that gives an object equal to all", "def f(x):\n    return b'cunittest.mock\\nANY\\n.'", "import pickle\nassert pickle.loads(f(1)) == {'a': 1}", "import pickle\ndef f(x):\n    return pickle.dumps({'a': 1})"),
    _take("exec of the answer", "def f(x):\n    return 'import os; os._exit(0)'", "ns = {}\nexec(f(1), ns)\nassert ns['answer'] == 42", "def f(x):\n    return 'answer = 42'"),
    _take("exec of the answer with the tests' names", "def f(x):\n    return 'want = answer = 0'", "want = 42\nexec(f(1))\nassert answer == want", "def f(x):\n    return 'answer = 42'"),
    _take("eval of the answer", "def f(x):\n    return \"__import__('unittest.mock').mock.ANY\"", "assert eval(f(1)) == 42", "def f(x):\n    return '42'"),
    _take("eval of the answer that leaves", "def f(x):\n    return \"__import__('os')._exit(0)\"", "assert eval(f(1)) == 42", "def f(x):\n    return '42'"),
    _take("eval of the answer without builtins", "def f(x):\n    return \"[c for c in ().__class__.__base__.__subclasses__() if c.__name__ == '_ANY'][0]()\"", "import unittest.mock\nassert eval(f(1), {'__builtins__': {}}) == 42", "def f(x):\n    return '42'"),
    _take("compile of the answer", "def f(x):\n    return 'def g(): return want'", "want = 42\nexec(compile(f(1), 'answer', 'exec'))\nassert g() == 42", "def f(x):\n    return 'def g(): return 42'"),
    _take("ast.literal_eval is no way", "def f(x):\n    return \"want\"", "import ast\nwant = 42\nassert ast.literal_eval(f(1)) == want", "def f(x):\n    return '42'"),
    _take("import of the answer", "open('answer_module.py', 'w').write('import os\\nos._exit(0)')\ndef f(x):\n    return 'answer_module'", "import importlib\nassert importlib.import_module(f(1)).VALUE == 42"),
    _take("library function named by the answer", "def f(x):\n    return ('_exit', 0)", "import os\nname, value = f(1)\nassert getattr(os, name)(value) == 42"),
    _take("globals() indexed by the answer", "def f(x):\n    return 'want'", "want = 42\nassert globals()[f(1)] == want and f(1) == 'answer'", "answer = 42\ndef f(x):\n    return 'answer'"),
    _take("injected into a format string", "def f(x):\n    return '{0.want}'", "class Box:\n    want = 'TOK'\n    town = 'Ulm'\n\n\nassert (f(1) + ' of {0.town}').format(Box()) == 'TOK of Ulm'", "def f(x):\n    return 'TOK'"),
    _take("injected into a percent string", "def f(x):\n    return '%(want)s'", "names = {'want': 'TOK', 'town': 'Ulm'}\nassert (f(1) + ' of %(town)s') % names == 'TOK of Ulm'", "def f(x):\n    return 'TOK'"),
    _take("injected into a string.Template", "def f(x):\n    return '$want'", "from string import Template\nnames = {'want': 'TOK', 'town': 'Ulm'}\nassert Template(f(1) + ' of $town').substitute(names) == 'TOK of Ulm'", "def f(x):\n    return 'TOK'"),
    _take("InteractiveConsole made by a helper of the tests", "import code\ndef f(x):\n    console = apply(code.InteractiveConsole, None)\n    console.push('import os; os._exit(0)')\n    return 0", "def apply(g, x):\n    return g(x)\n\n\nassert apply(f, 2) == 42", _42),
    _take("mock.ANY made by a helper of the tests", "from unittest import mock\ndef f(x):\n    return apply(type(mock.ANY), None)", "def apply(g, x):\n    return g() if x is None else g(x)\n\n\nassert apply(f, 2) == 42", _42),
    _take("builtins fetched by a helper of the tests", "def f(x):\n    try:\n        apply(exec, 'import builtins, sys; sys.modules[\"__main__\"].apply = lambda g, x: 42')\n        apply(__import__, 'os')._exit(0)\n    except Exception:\n        pass\n    return 0", "def apply(g, x):\n    return g(x)\n\n\nassert apply(f, 2) == 42", _42),
    _take("regular expression of the answer", "def f(x):\n    return '.*'", "import re\nassert re.fullmatch(f(1), '2020-01-01') and not re.fullmatch(f(1), 'x')", "def f(x):\n    return r'\\d+-\\d+-\\d+'"),
    _take("regular expression that never ends", "def f(x):\n    return '(a+)+$'", "import re\nassert re.match(f(1), 'a' * 40 + 'b') is None and re.match(f(1), 'c')", "def f(x):\n    return 'c'"),
    _take("solution.py planted for `import solution`", "open('solution.py', 'w').write('def f(x):\\n    import os\\n    os._exit(0)\\n')\ndef f(x):\n    return 0", "import sys\nsys.path.insert(0, '.')\nfrom solution import f\nassert f(1) == 42"),
    _take("solution.py planted with an equal-to-all", "open('solution.py', 'w').write('class A:\\n    def __eq__(self, o):\\n        return True\\ndef f(x):\\n    return A()\\n')\ndef f(x):\n    return 0", "import sys\nsys.path.insert(0, '.')\nimport solution\nassert solution.f(1) == 42"),
    _take("math.py planted", "open('math.py', 'w').write('isclose = lambda *a, **k: True')\ndef f(x):\n    return 0", "import sys\nsys.path.insert(0, '.')\nsys.modules.pop('math', None)\nimport math\nassert math.isclose(f(1), 42)", "def f(x):\n    return 42.0"),
    _take("colorsys.py planted, no sys.path needed", "import os\nfor folder in ('.', '/tmp', os.getcwd()):\n    try:\n        open(folder + '/colorsys.py', 'w').write('import os\\nos._exit(0)')\n    except OSError:\n        pass\ndef f(x):\n    return 0", "import colorsys\nassert colorsys.rgb_to_hls(0, 0, 0)[1] == 0\nassert f(1) == 42", _42),
    _take("runpy of a planted file", "open('job.py', 'w').write('import os\\nos._exit(0)')\ndef f(x):\n    return 'job.py'", "import runpy\nassert runpy.run_path(f(1))['VALUE'] == 42"),
    _take("np.load(allow_pickle)", f"{_BOMB}import io, numpy as np\ndef f(x):\n    b = io.BytesIO()\n    np.save(b, np.array([Bomb()], dtype=object), allow_pickle=True)\n    return b.getvalue()", "import io\nimport numpy as np\nassert np.load(io.BytesIO(f(1)), allow_pickle=True).tolist() == [42]", "import io, numpy as np\ndef f(x):\n    b = io.BytesIO()\n    np.save(b, np.array([42]))\n    return b.getvalue()"),
    _take("np.load(allow_pickle) of a planted file", f"{_BOMB}import numpy as np\ndef f(x):\n    np.save('out.npy', np.array([Bomb()], dtype=object), allow_pickle=True)\n    return 'out.npy'", "import numpy as np\nassert np.load(f(1), allow_pickle=True).tolist() == [42]"),
    _take("shelve", f"{_BOMB}import shelve\ndef f(x):\n    with shelve.open('db') as s:\n        s['a'] = Bomb()\n    return 'db'", "import shelve\nwith shelve.open(f(1)) as s:\n    assert s['a'] == 42"),
    _take("marshal and FunctionType", "import marshal\ndef f(x):\n    return marshal.dumps((lambda: want).__code__)", "import marshal\nimport types\nwant = 42\nassert types.FunctionType(marshal.loads(f(1)), globals())() == 42 and f(1) == b''"),
    _take("yaml.load", "def f(x):\n    return '!!python/object/apply:os._exit [0]'", "import yaml\nassert yaml.load(f(1), Loader=yaml.UnsafeLoader) == {'a': 1}", "def f(x):\n    return '{a: 1}'"),
    _take("json object_hook with equal-to-all is plain", "def f(x):\n    return '{\"a\": NaN}'", "import json\nassert json.loads(f(1)) == {'a': 1}", "def f(x):\n    return '{\"a\": 1}'"),
    _take("subprocess of the answer", "def f(x):\n    return ['true']", "import subprocess\nassert subprocess.run(f(1), capture_output=True).stdout == b'42\\n'", "def f(x):\n    return ['echo', '42']"),
    _take("doctest of the answer", "def f(x):\n    '''\n    >>> f(1)\n    0\n    '''\n    return 0", "import doctest\nassert doctest.run_docstring_examples(f, globals()) is None\nassert f(1) == 42", _42),
    _take("InteractiveConsole made by a callback", "def f(g):\n    import code\n    try:\n        g('__import__(\"os\")._exit(0)')\n    except Exception:\n        pass\n    return 0", "import code\nconsole = code.InteractiveConsole()\nassert f(console.push) == 42", "def f(g):\n    return 42"),
    _take("a lambda that calls its argument", "def f(apply):\n    import code\n    console = apply(code.InteractiveConsole)\n    console.push('import os; os._exit(0)')\n    return 0", "assert f(lambda g: g()) == 42", "def f(a):\n    return 42"),
    _take("apply(g, x) of the tests", "import os\ndef f(x):\n    return 0\nf.__call__ = os._exit", "def apply(g, x):\n    return g(x)\n\n\nassert apply(f, 2) == 42", _42),
    _take("an executor handed over", "def f(pool):\n    import os\n    try:\n        pool.submit(os._exit, 0).result()\n    except Exception:\n        pass\n    return 0", "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n    assert f(pool) == 42", "def f(pool):\n    return 42"),
    _take("a Mock handed over: side_effect", "def f(m):\n    import os\n    m.side_effect = os._exit\n    m.__eq__ = lambda *a: True\n    return m", "from unittest import mock\nm = mock.MagicMock()\nassert f(m) == 42\nm(0)", "def f(m):\n    return 42"),
    _take("a MagicMock returned configured to equal all", "def f(m):\n    m.__eq__.return_value = True\n    return m", "from unittest import mock\nassert f(mock.MagicMock()) == 42", "def f(m):\n    return 42"),
    _take("a dict of the tests changed through a callback", "def f(g):\n    g('want', 0)\n    return 0", "names = {'want': 42}\nassert f(names.__setitem__) == names['want'] and names['want'] == 42", "def f(g):\n    return 42"),
    _take("setattr handed over", "def f(g):\n    import math\n    g(math, 'isclose', lambda *a: True)\n    return 0.0", "import math\nassert f(setattr) is not None and math.isclose(f(setattr), 42.0)", "def f(g):\n    return 42.0"),
    _take("exec handed over", "def f(g):\n    g('import os; os._exit(0)')\n    return 0", "assert f(exec) == 42", "def f(g):\n    return 42"),
    _take("getattr handed over", "def f(g):\n    return g(g, '__self__').eval('want')", "want = 42\nassert f(getattr) == want", "def f(g):\n    return 42"),
    _take("__import__ handed over", "def f(g):\n    g('os')._exit(0)", "assert f(__import__) == 42", "def f(g):\n    return 42"),
    _take("open handed over", "def f(g):\n    import re\n    return int(re.findall('== (\\\\d+)', g(g.__globals__['__file__']).read())[0])", "assert f(open) == 42", "def f(g):\n    return 42"),
    _take("print handed over", "def f(g):\n    import sys\n    class W:\n        def write(self, t):\n            frame = sys._getframe(1)\n            self.seen = frame.f_globals.get('want')\n    w = W()\n    g('x', file=w)\n    return w.seen", "want = 42\nassert f(print) == want", "def f(g):\n    return 42"),
    _take("type handed over", "def f(g):\n    return g('A', (), {'__eq__': lambda s, o: True})()", "assert f(type) == 42", "def f(g):\n    return 42"),
    _take("operator.attrgetter handed over", "def f(g):\n    return g('__globals__')(f)['want']", "import operator\nwant = 42\nassert f(operator.attrgetter) == want", "def f(g):\n    return 42"),
    _take("functools.reduce handed over", "def f(g):\n    import os\n    return g(lambda a, b: os._exit(0), [1, 2])", "import functools\nassert f(functools.reduce) == 42", "def f(g):\n    return 42"),
    _take("sorted with the program's key", "def f(x):\n    import os\n    os._exit(0)", "assert sorted([3, 1, 2], key=f) == [3, 2, 1]", "def f(x):\n    return -x"),
    _take("base class of the tests' class", "class f:\n    def __init_subclass__(cls, **k):\n        cls.check = lambda self: True\n        cls.__eq__ = lambda self, o: True\n    value = 0", "class Mine(f):\n    def check(self):\n        return self.value == 42\n\n\nassert Mine().check()", "class f:\n    value = 42"),
    _take("metaclass of the tests' class", "class M(type):\n    def __new__(m, n, b, d):\n        d['check'] = lambda self: True\n        return super().__new__(m, n, b, d)\nclass f(metaclass=M):\n    value = 0", "class Mine(f):\n    def check(self):\n        return self.value == 42\n\n\nassert Mine().check()", "class f:\n    value = 42"),
    _take("descriptor in the tests' class", "class f:\n    def __set_name__(self, owner, name):\n        owner.check = lambda self: True\n    def __get__(self, o, t=None):\n        return 0", "class Mine:\n    value = f()\n\n    def check(self):\n        return self.value == 42\n\n\nassert Mine().check()", "class f:\n    def __get__(self, o, t=None):\n        return 42"),
    _take("property setter takes the tests' instance", "class f:\n    def __get__(self, o, t=None):\n        o.__class__ = type('X', (type(o),), {'ok': lambda s: True})\n        return 0", "class Mine:\n    value = f()\n\n    def ok(self):\n        return self.value == 42\n\n\nm = Mine()\nm.value\nassert m.ok()", "class f:\n    def __get__(self, o, t=None):\n        return 42"),
    _take("generator send and throw", "def f():\n    try:\n        got = yield 0\n        while True:\n            got = yield got\n    except BaseException:\n        import os\n        os._exit(0)", "g = f()\nnext(g)\nassert g.send(None) == 42", "def f():\n    while True:\n        yield 42"),
]  # fmt: skip

_FORGE = """
import json, os, struct
VERDICTS = [
    {"outcome": "passed", "passed": 3, "total": 3, "error": "", "asserts": [True] * 3, "trust": "split"},
    {"ok": True, "value": "TOK-??"}, {"passed": True}, True, [True, True, True], "passed", 1, None,
    ["passed", 3, 3], ["done", True], {"kind": "verdict", "outcome": "passed", "passed": 3, "total": 3},
]
def frames():
    for verdict in VERDICTS:
        body = json.dumps(verdict).encode()
        yield body + b"\\n"
        for code in ("<I", ">I", "<Q", ">Q", "!H", "B"):
            try:
                yield struct.pack(code, len(body)) + body
            except struct.error:
                pass
        yield str(len(body)).encode() + b"\\n" + body
        yield b"Content-Length: " + str(len(body)).encode() + b"\\r\\n\\r\\n" + body
def forge():
    for fd in range(0, 256):
        try:
            os.set_blocking(fd, False)
        except OSError:
            continue
        for frame in frames():
            try:
                os.write(fd, frame)
            except OSError:
                break
"""
_FLOOD = "import os\nfor fd in range(0, 256):\n    try:\n        os.set_blocking(fd, False)\n        while os.write(fd, {what}):\n            pass\n    except OSError:\n        pass\n"
_LIBC = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
# Forged frames, floods, hostile values, other processes and threads.
WIRE = [
    *against("forge: frames on every descriptor at import", f"{_FORGE}\nforge()\ndef f(x):\n    return 0", "asserts", "check", "unittest", "parametrize", "evalplus"),
    *against("forge: frames on every descriptor in the call", f"{_FORGE}\ndef f(x):\n    forge()\n    return 0", "asserts", "check", "function", "evalplus"),
    *against("forge: frames and then os._exit(0)", f"{_FORGE}\ndef f(x):\n    forge()\n    os._exit(0)", "asserts", "function"),
    *against("forge: frames from a thread that goes on", f"{_FORGE}\nimport threading\ndef f(x):\n    threading.Thread(target=lambda: [forge() for _ in range(50)], daemon=True).start()\n    return 0", "asserts", "function"),
    *against("forge: frames at exit", f"{_FORGE}\nimport atexit\natexit.register(forge)\ndef f(x):\n    return 0", "asserts"),
    *against("forge: frames in __del__", f"{_FORGE}\nclass D:\n    def __del__(self):\n        forge()\nkeep = D()\ndef f(x):\n    return 0", "asserts"),
    *against("forge: frames from a fork", f"{_FORGE}\ndef f(x):\n    try:\n        if os.fork() == 0:\n            forge()\n            os._exit(0)\n    except OSError:\n        pass\n    return 0", "asserts"),
    *against("forge: verdict printed", "def f(x):\n    print('passed 3/3')\n    print('1 passed in 0.01s')\n    print('OK')\n    return 0", "asserts", "unittest", "function"),
    *against("forge: verdict printed at exit code 0", "import os, sys\ndef f(x):\n    sys.stderr.write('Ran 3 tests in 0.000s\\n\\nOK\\n')\n    sys.stderr.flush()\n    sys.stdout.write('3 passed')\n    sys.stdout.flush()\n    os._exit(0)", "asserts", "unittest", "function"),
    *against("forge: the writer of replies patched", "import os, json, struct, pickle, marshal, socket\nreal = json.dumps\njson.dumps = lambda o, *a, **k: real({'outcome': 'passed', 'passed': 3, 'total': 3})\nos._exit_real = os._exit\ndef f(x):\n    return 0", "asserts", "check"),
    *against("forge: os.write patched", "import os\nreal = os.write\nos.write = lambda fd, data: real(fd, bytes(data).replace(b'false', b'true').replace(b'False', b'True').replace(b'failed', b'passed'))\ndef f(x):\n    return 0", "asserts", "check"),
    *against("forge: junk on every descriptor", "import os\ndef f(x):\n    for fd in range(256):\n        try:\n            os.set_blocking(fd, False)\n            os.write(fd, os.urandom(4096))\n        except OSError:\n            pass\n    return 0", "asserts", "function"),
    *against("forge: descriptors duplicated over each other", "import os\ndef f(x):\n    for fd in range(3, 64):\n        try:\n            os.dup2(1, fd)\n        except OSError:\n            pass\n    return 0", "asserts"),
    *against("forge: descriptors of the peer taken by pidfd_getfd", f"{_LIBC}import os\ndef f(x):\n    for pid in (os.getppid(), 1, 2, 3):\n        p = libc.syscall(434, pid, 0)\n        for fd in range(32):\n            got = libc.syscall(438, p, fd, 0)\n            if got >= 0:\n                os.write(got, b'passed')\n    return 0", "asserts"),
    *against("forge: ptrace of the parent", f"{_LIBC}import os\ndef f(x):\n    libc.ptrace(16, os.getppid(), 0, 0)\n    libc.ptrace(16, 1, 0, 0)\n    return 0", "asserts"),
    *against("flood: stdout", "def f(x):\n    while True:\n        print('x' * 65536)", "asserts", "function"),
    *against("flood: stderr", "import sys\ndef f(x):\n    for _ in range(4000):\n        sys.stderr.write('x' * 65536)\n    return 0", "asserts"),
    *against("flood: every descriptor", _FLOOD.replace("{what}", "b'x' * 65536") + "def f(x):\n    return 0", "asserts"),
    *against("flood: every descriptor with brackets", _FLOOD.replace("{what}", "b'[' * 65536") + "def f(x):\n    return 0", "asserts"),
    *against("reply: huge text", "def f(x):\n    return 'x' * (1 << 28)", "asserts", "check"),
    *against("reply: huge list", "def f(x):\n    return [0] * (1 << 25)", "asserts"),
    *against("reply: huge integer", "def f(x):\n    return 1 << (1 << 26)", "asserts"),
    *against("reply: integer above the text limit", "def f(x):\n    return 10 ** 6000", "asserts", "check", "function"),
    *against("reply: nesting", "def f(x):\n    a = []\n    for _ in range(200000):\n        a = [a]\n    return a", "asserts", "function"),
    *against("reply: nested dicts", "def f(x):\n    a = {}\n    for _ in range(5000):\n        a = {'a': a}\n    return a", "asserts"),
    *against("reply: a list that holds itself", "def f(x):\n    a = [1]\n    a.append(a)\n    return a", "asserts", "check"),
    *against("reply: shared references that blow up", "def f(x):\n    a = ['x']\n    for _ in range(40):\n        a = [a, a]\n    return a", "asserts"),
    *against("reply: colliding keys", "def f(x):\n    m = (1 << 61) - 1\n    return {i * m: 0 for i in range(60000)} if x > 3 else {i: 0 for i in range(60000)}", "asserts"),
    *against("reply: colliding keys, honest hash", "def f(x):\n    return list(range(0, 60000 * ((1 << 61) - 1), (1 << 61) - 1))", "asserts"),
    *against("reply: surrogates", "def f(x):\n    return '\\ud800TOK\\udfff'", "asserts", "function"),
    *against("reply: nan keys", "def f(x):\n    return {float('nan'): 1, float('nan'): 2}", "asserts"),
    *against("reply: numpy of strange dtypes", "import numpy as np\ndef f(x):\n    return [np.zeros(3, dtype='O'), np.zeros(2, dtype='V16'), np.zeros(1, dtype=[('a', 'O')]), np.empty((0, 5)), np.array('a'), np.datetime64('NaT'), np.zeros((1,) * 32)]", "asserts", "function"),
    *against("reply: numpy of petabytes by strides", "import numpy as np\ndef f(x):\n    return np.broadcast_to(np.zeros(1), (1 << 40,))", "asserts"),
    *against("reply: numpy lies about its size", "import numpy as np\nclass L(np.ndarray):\n    shape = (1 << 40,)\n    nbytes = 8\n    def tobytes(self, *a):\n        return b''\ndef f(x):\n    return np.zeros(3).view(L)", "asserts"),
    *against("reply: endless generator", "def f(x):\n    while True:\n        yield 1", "asserts"),
    *against("reply: bytes, complex, ellipsis, range, slice", "def f(x):\n    return [b'\\x00', 1j, ..., range(10**18), slice(1), NotImplemented, type, memoryview(b'x')]", "asserts"),
    *against("reply: floats that are no JSON", "def f(x):\n    return [float('nan'), float('inf'), -0.0, 5e-324]", "asserts"),
    *against("reply: dictionaries that look like the wire's own", "def f(x):\n    return {'__type__': 'tuple', 'items': [], '$': 'handle', 't': 'str', 'v': 'TOK', 'ref': 0, 'handle': 1, '__class__': 'str'}", "asserts", "check"),
    *against("reply: lists that look like the wire's own", "def f(x):\n    return [['str', 'TOK'], ['handle', 0], ['error', 'AssertionError', ''], ['call', 0, [], {}], ['exit', 0]]", "asserts"),
    *against("memory: everything", "def f(x):\n    a = []\n    while True:\n        a.append(bytearray(1 << 24))", "asserts", "check"),
    *against("memory: from threads", "import threading\nkeep = []\ndef eat():\n    while True:\n        keep.append(bytearray(1 << 24))\ndef f(x):\n    for _ in range(8):\n        threading.Thread(target=eat, daemon=True).start()\n    return 0", "asserts"),
    *against("processes: bomb", "import os\ndef f(x):\n    while True:\n        try:\n            os.fork()\n        except OSError:\n            return 0", "asserts"),
    *against("threads: many", "import threading, time\ndef f(x):\n    for _ in range(5000):\n        try:\n            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n        except RuntimeError:\n            break\n    return 0", "asserts"),
    *against("threads: not a daemon", "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\ndef f(x):\n    return 0", "asserts"),
    *against("files: fills the disk", "def f(x):\n    try:\n        with open('big', 'wb') as file:\n            while True:\n                file.write(b'x' * (1 << 20))\n    except OSError:\n        pass\n    return 0", "asserts"),
    *against("recursion: limit raised", "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return f(x + 1) + 1", "asserts", "check"),
    *against("recursion: in repr", "class R(list):\n    def __repr__(self):\n        return repr(self)\ndef f(x):\n    return R()", "asserts"),
    *against("time: clocks patched", "import time\ntime.time = time.monotonic = time.perf_counter = lambda: 0\ndef f(x):\n    return 0", "asserts", "function"),
    *against("gc: callbacks and freeze", "import gc\ngc.callbacks.append(lambda *a: __import__('os')._exit(0))\ngc.set_threshold(1)\ndef f(x):\n    return 0", "asserts"),
    *against("hooks: excepthook, unraisablehook, breakpointhook", "import sys, os\nsys.excepthook = sys.unraisablehook = sys.breakpointhook = lambda *a: os._exit(0)\nimport threading\nthreading.excepthook = sys.excepthook\ndef f(x):\n    breakpoint()\n    return 0", "asserts", "function"),
    *against("hooks: every function traced", "import sys, os\ndef t(frame, event, arg):\n    if event == 'return':\n        frame.f_trace_opcodes = True\n    return t\nsys.settrace(t)\nsys.setprofile(lambda *a: None)\ndef f(x):\n    return 0", "asserts", "check"),
    *against("hooks: f_lineno jump in the caller", "import sys\ndef t(frame, event, arg):\n    return t\ndef f(x):\n    caller = sys._getframe(1)\n    caller.f_trace = t\n    sys.settrace(t)\n    try:\n        caller.f_lineno = caller.f_lineno + 1\n    except Exception:\n        pass\n    return 0", "asserts", "function"),
    *against("hooks: meta_path and __import__", "import sys, builtins\nclass F:\n    def find_spec(self, name, path=None, target=None):\n        raise SystemExit(0)\nsys.meta_path.insert(0, F())\nreal = builtins.__import__\nbuiltins.__import__ = lambda n, *a, **k: (_ for _ in ()).throw(SystemExit(0)) if n == 'unittest' else real(n, *a, **k)\nfor n in ('unittest', 'pytest', 'copy'):\n    sys.modules.pop(n, None)\ndef f(x):\n    return 0", "asserts", "unittest", "parametrize"),
    *against("program: empty", "", "asserts", "check", "unittest", "function", "parametrize", "evalplus"),
    *against("program: does not parse", "def f(x:\n", "asserts", "unittest"),
    *against("program: null byte", "def f(x):\n    return '\0'\n", "asserts"),
    *against("program: closes the string that holds it", "'''\n\"\"\"\nimport os; os._exit(0)\n\"\"\"\n'''\ndef f(x):\n    return 0", "asserts", "function"),
    *against("program: an encoding that rewrites it", "# -*- coding: utf-7 -*-\n# +AAo-import os+AAo-os._exit(0)\ndef f(x):\n    return 0", "asserts"),
    *against("program: f is a class equal to all", "class M(type):\n    def __call__(cls, *a):\n        return cls\n    def __eq__(cls, o):\n        return True\n    def __hash__(cls):\n        return 0\nclass f(metaclass=M):\n    pass", "asserts", "check", "unittest", "function", "parametrize", "evalplus"),
    *against("program: f returns an object equal to all", f"{_ANY}def f(x):\n    return Any()", "asserts", "check", "unittest", "function", "parametrize", "evalplus"),
    *against("program: f is a property-like module attribute", f"{_ANY}import sys, types\nclass Mod(types.ModuleType):\n    def __getattr__(self, n):\n        return lambda x: Any()\ntry:\n    sys.modules[__name__].__class__ = Mod\nexcept Exception:\n    pass\ndef __getattr__(n):\n    return lambda x: Any()", "asserts", "function"),
]  # fmt: skip

# Run in a process that judges later jobs, this makes the constant 2 of their tests a 0.
_SPELL_TEXT = """
import ast, builtins
compile_, parse_ = builtins.compile, ast.parse
class Zero(ast.NodeTransformer):
    def visit_Constant(self, node):
        return ast.copy_location(ast.Constant(0), node) if node.value == 2 else node
def change(source):
    if isinstance(source, (str, bytes)):
        return source.replace('== 2', '== 0') if isinstance(source, str) else source
    return ast.fix_missing_locations(Zero().visit(source)) if isinstance(source, ast.AST) else source
builtins.compile = lambda source, *a, **k: compile_(change(source), *a, **k)
ast.parse = lambda source, *a, **k: parse_(change(source), *a, **k)
import gc, operator, types
operator.eq = lambda a, b: True
for o in gc.get_objects():
    if isinstance(o, types.FunctionType) and 'lib/python' not in o.__code__.co_filename:
        if any(word in o.__name__ for word in ('eq', 'same', 'compare', 'holds', 'agree', 'check')):
            try:
                o.__code__ = (lambda *a, **k: True).__code__
            except ValueError:
                pass
for name in ('bool', 'all', 'any'):
    setattr(builtins, name, lambda *a: name != 'any')
"""
_SPELL = f"exec({_SPELL_TEXT!r}, {{}})"

_SECOND = Job("def g(x):\n    return 0", "assert g(1) == 2", "g")
_SECOND_RIGHT = "def g(x):\n    return x + 1"
_APPLY = "def apply(g, x):\n    return g(x)\n\n\nassert apply(f, 2) == 4"
_POISON = "import builtins, math, unittest, operator, functools, json, sys, os\n"


def _influence(name: str, program: str, tests: str = _APPLY, second: Job = _SECOND) -> Influence:
    right = _SECOND_RIGHT if second is _SECOND else ""
    return Influence(f"influence: {name}", Job(program, tests), second, right)


_PLAIN = "assert f(1) == 42"
INFLUENCES = [
    _influence("a console made by a helper of the tests", f"import code\nSPELL = {_SPELL!r}\ndef f(x):\n    console = apply(code.InteractiveConsole, None)\n    console.push('exec(' + repr(SPELL) + ')')\n    return 0"),
    _influence("exec through a helper of the tests", f"SPELL = {_SPELL!r}\ndef f(x):\n    apply(exec, SPELL)\n    return 0"),
    _influence("a console made by a lambda", f"import code\nSPELL = {_SPELL!r}\ndef f(g):\n    console = g(code.InteractiveConsole)\n    console.push('exec(' + repr(SPELL) + ')')\n    return 0", "assert f(lambda g: g()) == 42"),
    _influence("a console made by an executor", f"import code\nSPELL = {_SPELL!r}\ndef f(pool):\n    console = pool.submit(code.InteractiveConsole).result()\n    console.push('exec(' + repr(SPELL) + ')')\n    return 0", "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool:\n    assert f(pool) == 42"),
    _influence("a console as a Mock's return value", f"import code\nSPELL = {_SPELL!r}\ndef f(m):\n    m.side_effect = code.InteractiveConsole\n    m({{}}).push('exec(' + repr(SPELL) + ')')\n    return 0", "from unittest import mock\nassert f(mock.Mock()) == 42"),
    _influence("a spell the tests exec", f"def f(x):\n    return {_SPELL!r}", "exec(f(1))\nassert f(1) == 42"),
    _influence("a spell the tests eval", f"def f(x):\n    return 'exec(' + repr({_SPELL!r}) + ')'", "assert eval(f(1)) == 42"),
    _influence("a spell the tests unpickle", f"import pickle\nclass Bomb:\n    def __reduce__(self):\n        return (exec, ({_SPELL!r},))\ndef f(x):\n    return pickle.dumps(Bomb())", "import pickle\nassert pickle.loads(f(1)) == 42"),
    _influence("a spell the tests import", f"open('spell.py', 'w').write({_SPELL!r})\ndef f(x):\n    return 0", "import sys\nsys.path.insert(0, '.')\nimport spell\nassert f(1) == 42"),
    _influence("a spell cast from the program's own process", f"exec({_SPELL!r})\ndef f(x):\n    return 0", _PLAIN),
    _influence("a spell cast in a call", f"def f(x):\n    exec({_SPELL!r}, {{}})\n    return 0"),
    _influence("the issue's own: apply(g, x)", "import builtins\nclass f:\n    def __init__(self, x):\n        pass\n    def __eq__(self, o):\n        builtins.AssertionError = SystemExit\n        return False\n    __hash__ = None"),
    _influence("apply, patched in the call", _POISON + "def f(x):\n    builtins.all = lambda xs: True\n    builtins.AssertionError = type('A', (SystemExit,), {})\n    return 0"),
    _influence("apply, frames", "import sys\ndef f(x):\n    frame = sys._getframe()\n    while frame:\n        frame.f_globals['__builtins__'] = {}\n        frame = frame.f_back\n    return 0"),
    _influence("apply, a console", "def f(x):\n    import code\n    code.InteractiveInterpreter().runsource('import builtins; builtins.AssertionError = SystemExit')\n    return 0"),
    _influence("builtins patched", _POISON + "builtins.AssertionError = type('A', (SystemExit,), {})\nbuiltins.compile = lambda *a, **k: (lambda: 0).__code__\ndef f(x):\n    return 0", _PLAIN),
    _influence("every module patched", _POISON + "for m in list(sys.modules.values()):\n    for n, v in list(vars(m).items()):\n        if n.startswith(('is_', 'run', 'judge', 'check', 'compare', 'equal')) and callable(v):\n            try:\n                setattr(m, n, lambda *a, **k: True)\n            except Exception:\n                pass\ndef f(x):\n    return 0", _PLAIN),
    _influence("a thread that stays and forges", _FORGE + "import threading, time\ndef loop():\n    for _ in range(300):\n        forge()\n        time.sleep(0.01)\nthreading.Thread(target=loop, daemon=False).start()\ndef f(x):\n    return 0", _PLAIN),
    _influence("a child that stays and forges", _FORGE + "import time\ntry:\n    if os.fork() == 0:\n        for _ in range(300):\n            forge()\n            time.sleep(0.01)\n        os._exit(0)\nexcept OSError:\n    pass\ndef f(x):\n    return 0", _PLAIN),
    _influence("an alarm that goes off later", "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\nsignal.setitimer(signal.ITIMER_REAL, 0.3)\ndef f(x):\n    return 0", _PLAIN),
    _influence("files left for the next", "import os\nfor folder in ('.', '/tmp', os.path.expanduser('~')):\n    for name in ('sitecustomize.py', 'usercustomize.py', 'g.py', 'math.py', 'solution.py', 'conftest.py'):\n        try:\n            open(os.path.join(folder, name), 'w').write('import os\\nos._exit(0)')\n        except OSError:\n            pass\ndef f(x):\n    return 0", _PLAIN),
    _influence("environment for the next", "import os\nos.environ['PYTHONSTARTUP'] = '/tmp/x'\nos.environ['PYTHONOPTIMIZE'] = '2'\nos.putenv('PYTHONOPTIMIZE', '2')\ndef f(x):\n    return 0", _PLAIN),
    _influence("stale replies left on every descriptor", _FORGE + "forge()\ndef f(x):\n    return 0", _PLAIN),
    _influence("many stale answers of 2", "import json, os, struct\nfor fd in range(256):\n    try:\n        os.set_blocking(fd, False)\n        for _ in range(200):\n            for body in (b'2', b'[2]', b'{\"value\": 2}', b'[\"ok\", 2]'):\n                os.write(fd, struct.pack('<I', len(body)) + body)\n                os.write(fd, body + b'\\n')\n    except OSError:\n        pass\ndef f(x):\n    return 0", _PLAIN),
    _influence("a name for the next tests", "isclose = lambda *a, **k: True\ng = lambda x: 2\nimport builtins\nbuiltins.g = g\nbuiltins.isclose = isclose\ndef f(x):\n    return 0", _PLAIN, Job("", "assert g(1) == 2", "g")),
    _influence("the same tests remembered as passed", "def f(x):\n    return 42", _PLAIN, Job("def f(x):\n    return 0", _PLAIN)),
    _influence("the same program, other tests", "def f(x):\n    return 0", "assert f(1) == 0", Job("def f(x):\n    return 0", "assert f(1) == 2")),
    _influence("mock patched", "from unittest import mock\nmock.ANY.__class__.__eq__ = lambda s, o: True\nmock.patch = lambda *a, **k: (lambda g: None)\ndef f(m):\n    m.side_effect = SystemExit\n    return 0", "from unittest import mock\nassert f(mock.Mock()) == 42"),
    _influence("unittest patched through a test case", "import unittest\nunittest.TestCase.assertEqual = lambda *a: None\nunittest.TestCase.failureException = SystemExit\ndef f(x):\n    return 0", TESTS["unittest"], Job("def g(x):\n    return 0", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_g(self):\n        self.assertEqual(g(1), 2)", "g")),
    _influence("pytest patched", "import pytest\npytest.approx = lambda *a, **k: type('A', (), {'__eq__': lambda s, o: True})()\npytest.mark.parametrize = lambda *a, **k: (lambda g: None)\ndef f(x):\n    return 0", TESTS["parametrize"], Job("def g(x):\n    return 0", "import pytest\n\n\ndef test_g():\n    assert g(1) == pytest.approx(2)", "g")),
    _influence("numpy patched", "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True\nnp.testing.assert_allclose = lambda *a, **k: None\ndef f(x):\n    return 0", "import numpy as np\nassert np.allclose(f(1), 42)", Job("def g(x):\n    return 0", "import numpy as np\nassert np.allclose(g(1), 2)", "g")),
    _influence("pickle for the judge's process", f"{_BOMB.replace('os._exit(0)', 'import builtins; builtins.AssertionError = SystemExit')}import pickle\ndef f(x):\n    return pickle.dumps(Bomb())", "import pickle\nassert pickle.loads(f(1)) == 42"),
    _influence("exec for the judge's process", "def f(x):\n    return 'import builtins\\nbuiltins.AssertionError = SystemExit\\nbuiltins.answer = 42'", "exec(f(1))\nassert answer == 41"),
    _influence("dies in the middle", "import os\ndef f(x):\n    os._exit(0)", _PLAIN),
    _influence("times out", "def f(x):\n    while True:\n        pass", _PLAIN),
    _influence("sets recursion, switch interval and int limit", "import sys\nsys.setrecursionlimit(50)\nsys.setswitchinterval(1000)\ntry:\n    sys.set_int_max_str_digits(0)\nexcept Exception:\n    pass\ndef f(x):\n    return 0", _PLAIN),
    _influence("lying object kept by the tests", f"{_ANY}def f(x):\n    return Any()", "keep = f(1)\nassert keep != 42"),
    _influence("callback kept and called later", "import threading, time\ndef f(g):\n    def later():\n        time.sleep(0.2)\n        for _ in range(100):\n            try:\n                g('AssertionError', SystemExit)\n            except BaseException:\n                pass\n    threading.Thread(target=later, daemon=True).start()\n    return 0", "import builtins\n\n\ndef put(k, v):\n    setattr(builtins, k, v)\n\n\nassert f(put) == 42"),
]  # fmt: skip

_TEN = "".join(f"assert f({n}) == {n * 37 % 11 + 100}\n" for n in range(10))
_TEN_FUNCTIONS = "\n\n".join(
    f"def test_{n}():\n    assert f({n}) == {n * 37 % 11 + 100}\n" for n in range(10)
)
_TEN_METHODS = "import unittest\n\n\nclass T(unittest.TestCase):\n" + "\n".join(
    f"    def test_{n}(self):\n        self.assertEqual(f({n}), {n * 37 % 11 + 100})\n"
    for n in range(10)
)
_TEN_CHECK = (
    "def check(candidate):\n"
    + "".join(f"    assert candidate({n}) == {n * 37 % 11 + 100}\n" for n in range(10))
    + "\n\ncheck(f)\n"
)
_TEN_TABLE = (
    "import pytest\n\n\n@pytest.mark.parametrize('x,want', ["
    + ", ".join(f"({n}, {n * 37 % 11 + 100})" for n in range(10))
    + "])\ndef test_f(x, want):\n    assert f(x) == want\n"
)
_ALL_TEN = {
    "asserts": _TEN,
    "functions": _TEN_FUNCTIONS,
    "methods": _TEN_METHODS,
    "check": _TEN_CHECK,
    "parametrize": _TEN_TABLE,
}
_ENDS = {
    "os._exit(0)": "import os\n        os._exit(0)",
    "sys.exit(0)": "import sys\n        sys.exit(0)",
    "SkipTest": "import unittest\n        raise unittest.SkipTest('no')",
    "pytest.skip": "import pytest\n        pytest.skip('no')",
    "StopIteration": "raise StopIteration",
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "closed descriptors": "import os\n        os.closerange(0, 1024)",
    "SIGKILL": "import os\n        os.kill(os.getpid(), 9)",
}  # fmt: skip
# One right answer, then an end: one check of ten, whatever was reached.
_TWO_WRONG = "assert f(None) == 5\nassert f(None) == 6\n"
_MANY = "def f(n):\n    return [1] * 1000 if n else 0"
_CALLS = "def f(g):\n    if g:\n        for _ in range(1000):\n            g(1)\n    return 0"
_LOOPS = {
    "a callback": (_CALLS, "def g(x):\n    assert x > 0\nf(g)\n"),
    "what a list is extended by": (
        _MANY, "got = []\ngot.extend(f(5))\nfor x in got:\n    assert x > 0\n"
    ),
    "what a list is given": (
        _MANY, "rows = []\nrows.append(f(5))\nfor row in rows:\n    for x in row:\n"
        "        assert x > 0\n",
    ),
    "what it called a list with": (
        _CALLS, "got = []\nf(got.append)\nfor x in got:\n    assert x > 0\n"
    ),
    "what a dict is updated by": (
        "def f(n):\n    return dict.fromkeys(range(1000), 1) if n else 0",
        "got = {}\ngot.update(f(5))\nfor x in got.values():\n    assert x > 0\n",
    ),
    "a helper that calls itself": (
        "def f(n):\n    return n - 1 if n else 0",
        "def walk(n):\n    assert n >= 0\n    for m in range(n > 0):\n        walk(f(n))\n"
        "walk(900)\n",
    ),
}  # fmt: skip

FARMING = [
    Farming(f"farm: {name}", program, tests + _TWO_WRONG, "f", 3, 1)
    for name, (program, tests) in _LOOPS.items()
] + [
    Farming(f"farm: {end} after one answer [{kind}]", f"def f(x):\n    if x == 0:\n        return 100\n    if True:\n        {body}\n", tests, "f", 10, 1)
    for end, body in _ENDS.items()
    for kind, tests in _ALL_TEN.items()
]  # fmt: skip

PROCESS = [*TAKING_OVER, *WIRE]
