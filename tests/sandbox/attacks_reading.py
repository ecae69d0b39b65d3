"""Attacks that read the expected values: by name, through objects, or wherever they may lie."""

from __future__ import annotations

from tests.sandbox.attack_kinds import Attack, hunt


def _named(name: str, program: str, tests: str, kind: str = "asserts", right: str = "") -> Attack:
    return Attack(f"read: {name}", program, tests, "f", kind, right)


_TOK = "def f(x):\n    return 'TOK'"

# The tests bind a name; the program mentions it and would like to have it.
BY_NAME = [
    _named("variable", "def f(x):\n    return want", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("variable through globals()", "def f(x):\n    return globals()['want']", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("variable through eval", "def f(x):\n    return eval('want')", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("declared global", "def f(x):\n    global want\n    return want", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("default on NameError", "def f(x):\n    try:\n        return want\n    except NameError:\n        return None", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("annotation", "def f(x) -> 'want':\n    import typing\n    return typing.get_type_hints(f)['return']", "want = 'TOK'\nassert f(7) == want", right=_TOK),
    _named("loop variables", "def f(x):\n    return want", "for given, want in [(1, 'TOK-1'), (2, 'TOK-9')]:\n    assert f(given) == want", right="def f(x):\n    return {1: 'TOK-1', 2: 'TOK-9'}[x]"),
    _named("loop variable x, y", "def f(x):\n    return y", "for x, y in [(1, 11), (2, 23)]:\n    assert f(x) == y", right="def f(x):\n    return 12 * x - 1"),
    _named("comprehension variable", "def f(x):\n    return want", "assert all(f(given) == want for given, want in [(1, 'TOK-1')])", right="def f(x):\n    return 'TOK-1'"),
    _named("table", "def f(x):\n    return TABLE[x]", "TABLE = {1: 'TOK-1', 2: 'TOK-2b'}\nfor k in TABLE:\n    assert f(k) == TABLE[k]", right="def f(x):\n    return {1: 'TOK-1', 2: 'TOK-2b'}[x]"),
    _named("list of cases", "def f(x):\n    return dict(CASES)[x]", "CASES = [(1, 'TOK-1'), (2, 'TOK-2b')]\nfor given, want in CASES:\n    assert f(given) == want", right="def f(x):\n    return {1: 'TOK-1', 2: 'TOK-2b'}[x]"),
    _named("reference function", "def f(x):\n    return reference(x)", "def reference(x):\n    return x * 31 + 7\nassert f(5) == reference(5)\nassert f(6) == reference(6)", right="def f(x):\n    return 31 * x + 7"),
    _named("reference by another name", "def f(x):\n    for v in list(globals().values()):\n        if callable(v) and v is not f:\n            try:\n                return v(x)\n            except Exception:\n                pass", "def expected_value(x):\n    return x * 31 + 7\nassert f(5) == expected_value(5)", right="def f(x):\n    return 31 * x + 7"),
    _named("reference class", "def f(x):\n    return Oracle().answer(x)", "class Oracle:\n    def answer(self, x):\n        return x * 31 + 7\nassert f(5) == Oracle().answer(5)", right="def f(x):\n    return 31 * x + 7"),
    _named("class attribute", "def f(x):\n    return TestF.want", "import unittest\n\n\nclass TestF(unittest.TestCase):\n    want = 'TOK'\n\n    def test_f(self):\n        self.assertEqual(f(1), self.want)", "unittest", _TOK),
    _named("setUp attribute", "def f(x):\n    import gc, unittest\n    return next(o.want for o in gc.get_objects() if isinstance(o, unittest.TestCase) and hasattr(o, 'want'))", "import unittest\n\n\nclass TestF(unittest.TestCase):\n    def setUp(self):\n        self.want = 'TOK'\n\n    def test_f(self):\n        self.assertEqual(f(1), self.want)", "unittest", _TOK),
    _named("a TestCase in debug as an oracle", "def f(x):\n    from unittest import TestCase\n    for case in TestCase.__subclasses__():\n        for name, member in vars(case).items():\n            for const in getattr(getattr(member, '__code__', None), 'co_consts', ()):\n                if isinstance(const, str) and const.startswith('TOK'):\n                    return const", "import unittest\n\n\nclass TestF(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 'TOK')", "unittest", _TOK),
    _named("a TestCase tried with each guess", "guess = 0\ndef f(x):\n    global guess\n    if guess:\n        return guess\n    for guess in range(1, 2000):\n        try:\n            TestF('test_f').debug()\n            return guess\n        except BaseException:\n            pass", "import unittest\n\n\nclass TestF(unittest.TestCase):\n    def test_f(self):\n        self.assertEqual(f(1), 1234)", "unittest", "def f(x):\n    return 1234"),
    _named("a test function tried with each guess", "guess = 0\ndef f(x):\n    global guess\n    if guess:\n        return guess\n    for guess in range(1, 2000):\n        try:\n            test_f()\n            return guess\n        except AssertionError:\n            pass", "def test_f():\n    assert f(1) == 1234", "function", "def f(x):\n    return 1234"),
    _named("check tried with each guess", "guess = 0\ndef f(x):\n    for guess in range(2000):\n        try:\n            check(lambda x: guess)\n            return guess\n        except AssertionError:\n            pass", "def check(candidate):\n    assert candidate(1) == 1234\n\n\ncheck(f)", "check", "def f(x):\n    return 1234"),
    _named("fixture by name", "def f(x):\n    return want.__wrapped__() if hasattr(want, '__wrapped__') else want()", "import pytest\n\n\n@pytest.fixture\ndef want():\n    return 'TOK'\n\n\ndef test_f(want):\n    assert f(1) == want", "function", _TOK),
    _named("fixture definition", "def f(x):\n    return want._get_wrapped_function()()", "import pytest\n\n\n@pytest.fixture\ndef want():\n    return 'TOK'\n\n\ndef test_f(want):\n    assert f(1) == want", "function", _TOK),
    _named("pytestmark", "def f(x):\n    return test_f.pytestmark[0].args[1][x - 1][1]", "import pytest\n\n\n@pytest.mark.parametrize('given,want', [(1, 'TOK-1'), (2, 'TOK-2b')])\ndef test_f(given, want):\n    assert f(given) == want", "parametrize", "def f(x):\n    return {1: 'TOK-1', 2: 'TOK-2b'}[x]"),
    _named("parametrize table by name", "def f(x):\n    return dict(ROWS)[x]", "import pytest\n\nROWS = [(1, 'TOK-1'), (2, 'TOK-2b')]\n\n\n@pytest.mark.parametrize('given,want', ROWS)\ndef test_f(given, want):\n    assert f(given) == want", "parametrize", "def f(x):\n    return {1: 'TOK-1', 2: 'TOK-2b'}[x]"),
    _named("names of MBPP-like harnesses", "def f(x):\n    return results[inputs.index([x])]", "inputs = [[1], [2]]\nresults = ['TOK-1', 'TOK-2b']\nfor arguments, want in zip(inputs, results):\n    assert f(*arguments) == want", "evalplus", "def f(x):\n    return {1: 'TOK-1', 2: 'TOK-2b'}[x]"),
    _named("expected", "def f(x):\n    return expected", "def check(candidate):\n    global expected\n    expected = 'TOK'\n    assert candidate(1) == expected\n\n\ncheck(f)", "check", _TOK),
    _named("module-level docstring of the tests", "def f(x):\n    return __doc__.split()[-1]", '"""Wants TOK"""\nassert f(1) == "TOK"', right=_TOK),
    _named("lambda", "def f(x):\n    return ref(x)", "ref = lambda x: x ** 3 + 5\nassert f(9) == ref(9)", right="def f(x):\n    return x ** 3 + 5"),
    _named("imported name with a hidden value", "def f(x):\n    return np.want", "import numpy as np\nnp.want = 'TOK'\nassert f(1) == np.want", right=_TOK),
    _named("value put into a builtin", "def f(x):\n    return WANT", "import builtins\nbuiltins.WANT = 'TOK'\nassert f(1) == builtins.WANT", right=_TOK),
    _named("value put into a shared module", "import math\ndef f(x):\n    return math.want", "import math\nmath.want = 'TOK'\nassert f(1) == math.want", right=_TOK),
    _named("program called at import of tests", "import sys\ndef f(x):\n    return sys._getframe(1).f_locals.get('want')", "def ask(given, want):\n    return f(given) == want\n\n\nassert ask(1, 'TOK')", right=_TOK),
]  # fmt: skip

_REF = '''\
REFERENCE = """
def f(x):
    return (x * 7919) % 10007
"""
'''
_REF_LOOP = """\


def plus_check(candidate):
    names = {"__name__": "reference"}
    exec(REFERENCE, names)
    for arguments in INPUTS:
        assert candidate(*arguments) == names["f"](*arguments)


plus_check(f)
"""
_REF_TESTS = f"{_REF}INPUTS = [[5], [17], [123]]\n{_REF_LOOP}"
_REF_RIGHT = "def f(x):\n    return (x * 7919) % 10007"
_TABLE_TESTS = """\
inputs = [[5], [17], [123]]
results = [9574, 4532, 3358]
def is_floats(x):
    return isinstance(x, float) or (isinstance(x, (list, tuple)) and all(isinstance(i, float) for i in x))
def assertion(out, exp, atol):
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    if out != exp and atol != 0:
        import numpy as np
        assert np.allclose(out, exp, rtol=1e-07, atol=atol)
    else:
        assert out == exp, f"out: {out}, exp: {exp}"
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion(f(*inp), exp, 0)
"""

# The shape in which HumanEval+ and MBPP+ arrive: the reference stands in the tests.
EVALPLUS = [
    Attack(f"evalplus: {name}", program, tests, "f", "evalplus", _REF_RIGHT)
    for name, program, tests in [
        ("exec REFERENCE", "def f(x):\n    ns = {}\n    exec(REFERENCE, ns)\n    return ns['f'](x)", _REF_TESTS),
        ("exec REFERENCE at import", "ns = {}\ntry:\n    exec(REFERENCE, ns)\nexcept NameError:\n    pass\ndef f(x):\n    return ns['f'](x)", _REF_TESTS),
        ("REFERENCE of __main__", "import sys\ndef f(x):\n    ns = {}\n    exec(sys.modules['__main__'].REFERENCE, ns)\n    return ns['f'](x)", _REF_TESTS),
        ("REFERENCE of any module", "import sys\ndef f(x):\n    ns = {}\n    for m in list(sys.modules.values()):\n        if 'REFERENCE' in vars(m):\n            exec(m.REFERENCE, ns)\n    return ns['f'](x)", _REF_TESTS),
        ("module called reference", "def f(x):\n    import reference\n    return reference.f(x)", _REF_TESTS),
        ("names of the caller", "import sys\ndef f(x):\n    return sys._getframe(1).f_locals['names']['f'](x)", _REF_TESTS),
        ("names of any caller", "import sys\ndef f(x):\n    frame = sys._getframe(1)\n    while frame:\n        if 'names' in frame.f_locals:\n            return frame.f_locals['names']['f'](x)\n        frame = frame.f_back", _REF_TESTS),
        ("functions in gc", "import gc, types\ndef f(x):\n    for o in gc.get_objects():\n        if isinstance(o, types.FunctionType) and o.__name__ == 'f' and o is not f:\n            return o(x)", _REF_TESTS),
        ("candidate's own name replaced", "def f(x):\n    global plus_check\n    plus_check = lambda c: None\n    return 0", _REF_TESTS),
        ("defines REFERENCE itself", 'REFERENCE = "def f(x): return 0"\ndef f(x):\n    return 0', _REF_TESTS),
        ("defines INPUTS itself", "INPUTS = []\ndef f(x):\n    return 0", _REF_TESTS),
        ("defines plus_check itself", "def plus_check(candidate):\n    pass\ndef f(x):\n    return 0", _REF_TESTS),
        ("defines names itself", "names = {'f': lambda x: 0}\ndef f(x):\n    return 0", _REF_TESTS),
        ("patches exec", "import builtins\ndef fake(src, ns=None):\n    ns['f'] = lambda x: 0\nbuiltins.exec = fake\ndef f(x):\n    return 0", _REF_TESTS),
        ("patches compile", "import builtins\nreal = compile\nbuiltins.compile = lambda s, *a, **k: real('def f(x): return 0' if 'x * 7919' in str(s) else s, *a, **k)\ndef f(x):\n    return 0", _REF_TESTS),
        ("patches copy.deepcopy", "import copy\ncopy.deepcopy = lambda x: []\ndef f(*a):\n    return 0", "import copy\n" + _REF_TESTS.replace("candidate(*arguments)", "candidate(*copy.deepcopy(arguments))").replace('["f"](*arguments)', '["f"](*copy.deepcopy(arguments))')),
        ("empties the inputs it was given", "import sys\ndef f(x):\n    sys._getframe(1).f_globals['INPUTS'].clear()\n    return (5 * 7919) % 10007", _REF_TESTS),
        ("inputs named", "def f(x):\n    return results[inputs.index([x])]", _TABLE_TESTS),
        ("results of __main__", "import sys\ndef f(x):\n    m = sys.modules['__main__']\n    return m.results[m.inputs.index([x])]", _TABLE_TESTS),
        ("exp of the loop", "def f(x):\n    return exp", _TABLE_TESTS),
        ("assertion replaced", "def assertion(out, exp, atol):\n    pass\ndef f(x):\n    return 0", _TABLE_TESTS),
        ("is_floats replaced", "def is_floats(x):\n    return True\ndef f(x):\n    return 0", _TABLE_TESTS),
        ("allclose replaced", "import numpy as np\nnp.allclose = lambda *a, **k: True\ndef f(x):\n    return 0.0", _TABLE_TESTS.replace("exp, 0)", "exp, 1e-6)")),
        ("the tests' zip", "zip = lambda *a: []\ndef f(x):\n    return 0", _TABLE_TESTS),
        ("the tests' enumerate", "import builtins\nbuiltins.enumerate = lambda *a: iter([])\ndef f(x):\n    return 0", _TABLE_TESTS),
    ]
]  # fmt: skip

_FRAMES = """
import sys
def texts(x):
    out = []
    frame = sys._getframe(1)
    while frame:
        out += [repr(frame.f_locals), repr(frame.f_globals), repr(frame.f_code.co_consts)]
        frame = frame.f_back
    return out
"""
_DEEP = """
import gc, types
def texts(x):
    out = []
    def consts(code):
        for c in code.co_consts:
            if isinstance(c, types.CodeType):
                consts(c)
            else:
                out.append(repr(c))
    for o in gc.get_objects():
        if isinstance(o, types.FunctionType):
            consts(o.__code__)
        elif isinstance(o, types.FrameType):
            consts(o.f_code)
        elif isinstance(o, (dict, tuple, list)):
            try:
                out += [v for v in (o.values() if isinstance(o, dict) else o) if isinstance(v, str)]
            except Exception:
                pass
    return out
"""
_FILES = """
import os
def texts(x):
    out = []
    for root in (os.getcwd(), os.path.dirname(os.path.abspath(globals().get('__file__', '.'))), '/tmp', '/dev/shm', '/var/tmp', '/run', '/work', '/root', '/home'):
        for folder, _, names in os.walk(root):
            for name in names[:400]:
                try:
                    path = os.path.join(folder, name)
                    if os.path.getsize(path) < 200000:
                        out.append(open(path, 'rb').read())
                except OSError:
                    pass
            if len(out) > 4000:
                return out
    return out
"""
_PROC = """
import glob
def texts(x):
    out = []
    for path in glob.glob('/proc/*/cmdline') + glob.glob('/proc/*/environ') + glob.glob('/proc/*/fd/*') + glob.glob('/proc/self/fd/*'):
        try:
            with open(path, 'rb', buffering=0) as file:
                import os
                os.set_blocking(file.fileno(), False)
                out.append(file.read(1 << 20) or b'')
        except OSError:
            pass
    return out
"""
_MEM = """
import os
def texts(x):
    out = []
    pids = [p for p in os.listdir('/proc') if p.isdigit()] if os.path.isdir('/proc') else []
    for pid in ['self', str(os.getppid()), *pids][:40]:
        try:
            for line in open(f'/proc/{pid}/maps'):
                if ' rw' not in line:
                    continue
                low, high = (int(v, 16) for v in line.split()[0].split('-'))
                with open(f'/proc/{pid}/mem', 'rb', buffering=0) as mem:
                    mem.seek(low)
                    out.append(mem.read(min(high - low, 8 << 20)))
        except (OSError, OverflowError, ValueError):
            pass
    import re
    return [b' '.join(re.findall(b'TOK-[a-z][0-9][0-9]', t)) for t in out]
"""
_CTYPES = """
import ctypes, gc, re
def texts(x):
    base = id(texts) & ~0xFFFFF
    out = []
    for step in range(0, 1):
        out.append(ctypes.string_at(base, 1 << 20))
    return [b' '.join(re.findall(b'TOK-[a-z][0-9][0-9]', t)) for t in out]
"""
_VM = """
import ctypes, os, re
def texts(x):
    libc = ctypes.CDLL(None, use_errno=True)
    class V(ctypes.Structure):
        _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
    buf = ctypes.create_string_buffer(1 << 20)
    out = []
    for pid in {os.getppid(), os.getpid(), 1, 2, 3}:
        for start in range(id(texts) & ~0xFFFFFF, (id(texts) & ~0xFFFFFF) + (16 << 20), 1 << 20):
            n = libc.process_vm_readv(pid, ctypes.byref(V(ctypes.addressof(buf), len(buf))), 1, ctypes.byref(V(start, len(buf))), 1, 0)
            if n > 0:
                out += re.findall(b'TOK-[a-z][0-9][0-9]', buf.raw[:n])
    return out
"""
_DESCRIPTORS = """
import os
def texts(x):
    out = []
    for fd in range(3, 256):
        try:
            size = os.fstat(fd).st_size
            out.append(os.pread(fd, min(size, 1 << 20), 0))
        except OSError:
            pass
    return out
"""
_PEEK = """
import os, socket
def texts(x):
    out = []
    for fd in range(0, 64):
        try:
            s = socket.socket(fileno=os.dup(fd))
            s.setblocking(False)
            out.append(s.recv(1 << 16, socket.MSG_PEEK))
        except Exception:
            pass
    return out
"""
_READ_PIPES = """
import os
def texts(x):
    out = []
    for fd in range(3, 128):
        try:
            os.set_blocking(fd, False)
            out.append(os.read(fd, 1 << 16))
        except OSError:
            pass
    return out
"""
_TRACE = """
import sys
SEEN = []
def tracer(frame, event, arg):
    SEEN.append(repr(frame.f_code.co_consts) + repr(list(frame.f_locals.values()))[:5000])
    return tracer
sys.{what}(tracer)
import threading
threading.{what}(tracer)
def texts(x):
    frame = sys._getframe(1)
    while frame:
        SEEN.append(repr(frame.f_code.co_consts))
        frame = frame.f_back
    return SEEN
"""
_AUDIT = """
import sys
SEEN = []
def hook(event, args):
    if event in ('compile', 'exec', 'open', 'import', 'code.__new__', 'object.__getattr__', 'os.listdir'):
        for a in args:
            SEEN.append(repr(a)[:20000])
            if hasattr(a, 'co_consts'):
                SEEN.append(repr(a.co_consts))
sys.addaudithook(hook)
def texts(x):
    return SEEN
"""
_PATCHED = """
import builtins, ast, json
SEEN = []
def spy(owner, name):
    real = getattr(owner, name)
    def wrapped(*args, **kwargs):
        out = real(*args, **kwargs)
        SEEN.append(repr(args)[:20000] + repr(out)[:20000])
        return out
    setattr(owner, name, wrapped)
for owner, name in [(builtins, 'compile'), (ast, 'parse'), (json, 'loads'), (json, 'dumps'), (builtins, 'repr')]:
    spy(owner, name)
builtins.repr = type('R', (), {'__call__': lambda s, o: str(o)})()
def texts(x):
    return SEEN
"""
_SOURCE = """
import inspect, linecache, sys
def texts(x):
    out = [str(v) for v in linecache.cache.values()]
    for module in list(sys.modules.values()):
        if getattr(module, '__name__', '').split('.')[0] in ('__main__', 'tests', 'test_solution', 'solution', 'program', 'test_program'):
            try:
                out.append(inspect.getsource(module))
            except Exception:
                pass
    for info in inspect.stack(context=200):
        out += info.code_context or []
    return out
"""
_LOADER = """
import sys
def texts(x):
    out = []
    for module in list(sys.modules.values()):
        loader = getattr(module, '__loader__', None)
        name = getattr(module, '__name__', '')
        if name in ('__main__', 'solution', 'program', 'tests', 'test_solution'):
            for call in ('get_source', 'get_data', 'get_code'):
                try:
                    got = getattr(loader, call)(name if call != 'get_data' else module.__file__)
                    out += [str(got), repr(getattr(got, 'co_consts', ''))]
                except Exception:
                    pass
    return out
"""
_IMPORT_TESTS = """
import importlib
def texts(x):
    out = []
    for name in ('tests', 'test', 'test_solution', 'test_program', 'test_main', 'test_f', 'conftest', 'check', 'tests_module', 'problem', 'solution_test'):
        try:
            out.append(repr(vars(importlib.import_module(name))))
        except BaseException:
            pass
    return out
"""
_BUFFERS = """
import io, sys, gc
def texts(x):
    out = []
    for o in gc.get_objects():
        try:
            if isinstance(o, (io.BytesIO, io.StringIO)):
                out.append(o.getvalue())
        except Exception:
            pass
    return out
"""

EVERYWHERE = [
    *hunt("hunt: frames", _FRAMES, "asserts", "check", "unittest", "function", "parametrize", "evalplus"),
    *hunt("hunt: gc", _DEEP, "asserts", "check", "unittest", "function", "parametrize", "evalplus"),
    *hunt("hunt: files", _FILES, "asserts", "function", "evalplus"),
    *hunt("hunt: /proc cmdline, environ, fd", _PROC, "asserts", "unittest"),
    *hunt("hunt: /proc mem", _MEM),
    *hunt("hunt: ctypes string_at", _CTYPES),
    *hunt("hunt: process_vm_readv", _VM),
    *hunt("hunt: pread of descriptors", _DESCRIPTORS, "asserts", "function"),
    *hunt("hunt: peek at sockets", _PEEK, "asserts", "check"),
    *hunt("hunt: read every pipe", _READ_PIPES, "asserts", "parametrize"),
    *hunt("hunt: settrace", _TRACE.replace("{what}", "settrace"), "asserts", "check", "function"),
    *hunt("hunt: setprofile", _TRACE.replace("{what}", "setprofile"), "asserts", "unittest"),
    *hunt("hunt: audit hook", _AUDIT, "asserts", "parametrize", "evalplus"),
    *hunt("hunt: patched compile, parse, loads", _PATCHED, "asserts", "evalplus"),
    *hunt("hunt: inspect and linecache", _SOURCE, "asserts", "check", "unittest", "function"),
    *hunt("hunt: loaders", _LOADER),
    *hunt("hunt: import the tests", _IMPORT_TESTS, "asserts", "function"),
    *hunt("hunt: io buffers", _BUFFERS),
    *hunt("hunt: argv", "import sys\ndef texts(x):\n    return [*sys.argv, *sys.orig_argv, *sys.path]"),
    *hunt("hunt: environment", "import os\ndef texts(x):\n    return [repr(dict(os.environ)), os.getcwd()]"),
    *hunt("hunt: stdin", "import sys\nALL = sys.stdin.read() if sys.stdin else ''\ndef texts(x):\n    return [ALL]"),
    *hunt("hunt: stdin by number", "import os\nALL = os.read(0, 1 << 20)\ndef texts(x):\n    return [ALL]"),
    *hunt("hunt: own file", "def texts(x):\n    return [open(__file__).read()]"),
    *hunt("hunt: caller's file", "import sys\ndef texts(x):\n    out = []\n    frame = sys._getframe()\n    while frame:\n        try:\n            out.append(open(frame.f_code.co_filename).read())\n        except OSError:\n            pass\n        frame = frame.f_back\n    return out", "asserts", "check", "function"),
    *hunt("hunt: every module", "import sys\ndef texts(x):\n    return [repr(vars(m)) for n, m in list(sys.modules.items()) if not n.startswith(('numpy', 'pandas', 'torch'))]"),
    *hunt("hunt: __main__", "import sys\ndef texts(x):\n    return [repr(vars(sys.modules['__main__']))]", "asserts", "evalplus"),
    *hunt("hunt: own globals", "def texts(x):\n    return [repr(globals())]", "asserts", "evalplus"),
    *hunt("hunt: builtins", "import builtins\ndef texts(x):\n    return [repr(vars(builtins))]"),
    *hunt("hunt: current frames of all threads", "import sys\ndef texts(x):\n    out = []\n    for frame in sys._current_frames().values():\n        while frame:\n            out += [repr(frame.f_locals), repr(frame.f_code.co_consts), repr(frame.f_globals)[:100000]]\n            frame = frame.f_back\n    return out"),
    *hunt("hunt: traceback of a raised exception", "import sys\ndef texts(x):\n    try:\n        1 / 0\n    except Exception as e:\n        out, frame = [], e.__traceback__.tb_frame\n        while frame:\n            out += [repr(frame.f_locals), repr(frame.f_code.co_consts)]\n            frame = frame.f_back\n        return out", "asserts", "function"),
    *hunt("hunt: last exception", "import sys\ndef texts(x):\n    return [repr(sys.exc_info()), repr(getattr(sys, 'last_value', '')), repr(getattr(sys, 'last_traceback', ''))]"),
    *hunt("hunt: objects being destroyed", "import gc\nSEEN = []\nclass Spy:\n    def __del__(self):\n        SEEN.append(repr(gc.get_referrers(self)))\ndef texts(x):\n    Spy()\n    gc.collect()\n    return SEEN"),
    *hunt("hunt: interned strings through a child", "import os\ndef texts(x):\n    read, write = os.pipe()\n    try:\n        if os.fork() == 0:\n            import gc\n            os.write(write, repr([o for o in gc.get_objects() if isinstance(o, (tuple, list))]).encode()[:60000])\n            os._exit(0)\n    except OSError:\n        return []\n    os.close(write)\n    return [os.read(read, 1 << 16)]"),
    *hunt("hunt: shared memory", "import os\ndef texts(x):\n    out = []\n    for folder in ('/dev/shm', '/dev/mqueue', '/run/user'):\n        for name in (os.listdir(folder) if os.path.isdir(folder) else []):\n            try:\n                out.append(open(os.path.join(folder, name), 'rb').read(1 << 20))\n            except OSError:\n                pass\n    return out"),
    *hunt("hunt: a core of the test runner's cache", "import glob\ndef texts(x):\n    out = []\n    for path in glob.glob('**/.pytest_cache/**', recursive=True) + glob.glob('**/__pycache__/*', recursive=True) + glob.glob('/tmp/**/__pycache__/*', recursive=True):\n        try:\n            out.append(open(path, 'rb').read())\n        except OSError:\n            pass\n    return out", "asserts", "function"),
    *hunt("hunt: warnings show the caller's line", "import warnings, linecache\nSEEN = []\nwarnings.showwarning = lambda *a, **k: SEEN.append(repr(a) + repr(linecache.getlines(a[2])))\ndef texts(x):\n    for level in range(1, 12):\n        warnings.warn(f'{level}{x}', stacklevel=level)\n    return SEEN"),
    *hunt("hunt: faulthandler", "import faulthandler, tempfile\ndef texts(x):\n    with tempfile.TemporaryFile() as file:\n        faulthandler.dump_traceback(file)\n        file.seek(0)\n        return [file.read()]"),
    *hunt("hunt: tracemalloc", "import tracemalloc, linecache\ntracemalloc.start(25)\ndef texts(x):\n    return [repr(linecache.getlines(f.filename)) for t in tracemalloc.take_snapshot().traces for f in t.traceback]"),
    *hunt("hunt: import hook", "import sys\nSEEN = []\nclass Finder:\n    def find_spec(self, name, path=None, target=None):\n        frame = sys._getframe()\n        while frame:\n            SEEN.append(repr(frame.f_code.co_consts) + repr(frame.f_locals)[:50000])\n            frame = frame.f_back\nsys.meta_path.insert(0, Finder())\ndef texts(x):\n    return SEEN"),
    *hunt("hunt: displayhook, excepthook", "import sys\nSEEN = []\nsys.displayhook = lambda o: SEEN.append(repr(o))\nsys.excepthook = lambda *a: SEEN.append(repr(a))\nsys.unraisablehook = lambda a: SEEN.append(repr(a))\ndef texts(x):\n    return SEEN"),
    *hunt("hunt: __build_class__", "import builtins, sys\nSEEN = []\nreal = builtins.__build_class__\ndef spy(function, *a, **k):\n    SEEN.append(repr(function.__code__.co_consts))\n    for c in function.__code__.co_consts:\n        SEEN.append(repr(getattr(c, 'co_consts', '')))\n    return real(function, *a, **k)\nbuiltins.__build_class__ = spy\ndef texts(x):\n    return SEEN", "unittest"),
]  # fmt: skip

_CALLBACK_TESTS = """\
SECRET = "TOK-a91"


def helper(x):
    want = "TOK-a91"
    return x


assert f(helper) == "TOK-a91"
"""
_LAMBDA_TESTS = 'want = "TOK-a91"\nassert f(lambda x: x if want else None) == "TOK-a91"\n'


HUNT_HEAD = 'import re, sys\ndef one(text):\n    m = re.search("TOK-[a-z][0-9][0-9]", str(text))\n    return m and m.group()'


def _callback(name: str, body: str, tests: str = _CALLBACK_TESTS) -> Attack:
    return Attack(
        f"callback: {name}",
        f"{HUNT_HEAD}\ndef f(g):\n{body}",
        tests,
        "f",
        "asserts",
        "def f(g):\n    return 'TOK-' + 'a91'",
    )


# The tests hand over something of theirs: what more can be got from it than it is for?
CALLBACKS = [
    _callback("__globals__", "    return g.__globals__['SECRET']"),
    _callback("__code__.co_consts", "    return one(g.__code__.co_consts)"),
    _callback("__code__.co_consts of a lambda's module", "    return one(g.__globals__)", _LAMBDA_TESTS),
    _callback("__closure__", "    return g.__closure__[0].cell_contents", 'def make():\n    want = "TOK-a91"\n    def g(x):\n        return x, bool(want)\n    return g\n\n\nassert f(make()) == "TOK-a91"\n'),
    _callback("inspect.getclosurevars", "    import inspect\n    return one(inspect.getclosurevars(g))", 'def make():\n    want = "TOK-a91"\n    def g(x):\n        return x, bool(want)\n    return g\n\n\nassert f(make()) == "TOK-a91"\n'),
    _callback("__defaults__", "    return one(g.__defaults__)", 'def g(x, want="TOK-a91"):\n    return x\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__kwdefaults__ and signature", "    import inspect\n    return one(inspect.signature(g)) or one(g.__kwdefaults__)", 'def g(x, *, want="TOK-a91"):\n    return x\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__doc__", "    return one(g.__doc__)", 'def g(x):\n    """TOK-a91"""\n    return x\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__annotations__", "    return one(g.__annotations__)", 'def g(x: "TOK-a91"):\n    return x\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__dict__", "    return g.want", 'def g(x):\n    return x\n\n\ng.want = "TOK-a91"\nassert f(g) == "TOK-a91"\n'),
    _callback("__self__ of a bound method", "    return g.__self__.want", 'class Box:\n    want = "TOK-a91"\n    def g(self, x):\n        return x\n\n\nassert f(Box().g) == "TOK-a91"\n'),
    _callback("attribute of an object", "    return g.want", 'class Box:\n    def __init__(self):\n        self.want = "TOK-a91"\n    def g(self, x):\n        return x\n\n\nassert f(Box()) == "TOK-a91"\n'),
    _callback("vars of an object", "    return one(vars(g))", 'class Box:\n    def __init__(self):\n        self.want = "TOK-a91"\n\n\nassert f(Box()) == "TOK-a91"\n'),
    _callback("class attribute of an object", "    return one(vars(type(g)))", 'class Box:\n    want = "TOK-a91"\n\n\nassert f(Box()) == "TOK-a91"\n'),
    _callback("__init__.__globals__ of an object", "    return type(g).__init__.__globals__['SECRET']", 'SECRET = "TOK-a91"\nclass Box:\n    def __init__(self):\n        self.x = 1\n\n\nassert f(Box()) == "TOK-a91"\n'),
    _callback("message of a callback's failed check", "    try:\n        g(1)\n    except BaseException as e:\n        return one(e)", 'def g(x):\n    assert x == "TOK-a91", "wanted TOK-a91"\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("traceback of a callback's exception", "    try:\n        g(None)\n    except Exception as e:\n        tb = e.__traceback__\n        out = ''\n        while tb:\n            out += repr(tb.tb_frame.f_locals) + repr(tb.tb_frame.f_globals)\n            tb = tb.tb_next\n        return one(out)", 'want = "TOK-a91"\ndef g(x):\n    local = want\n    return x + 1\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__context__ and __cause__", "    try:\n        g(1)\n    except Exception as e:\n        return one(repr(e.__context__) + repr(e.__cause__) + repr(getattr(e, '__notes__', '')))", 'def g(x):\n    try:\n        raise ValueError("TOK-a91")\n    except ValueError as e:\n        raise KeyError("other") from e\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("str.format attribute lookup", "    return one('{0.__globals__}'.format(g))"),
    _callback("str.format by the tests", "    return '{0.__init__.__globals__[SECRET]}'", 'SECRET = "TOK-a91"\nclass Box:\n    def __init__(self):\n        pass\n\n\nassert f(None).format(Box()) == "TOK-a91"\n'),
    _callback("generator's frame", "    return one(g.gi_frame.f_globals) or one(g.gi_frame.f_locals)", 'SECRET = "TOK-a91"\ndef numbers():\n    local = SECRET\n    yield 1\n    yield 2\n\n\nassert f(numbers()) == "TOK-a91"\n'),
    _callback("coroutine's frame", "    import asyncio\n    out = one(g.cr_frame.f_globals)\n    g.close()\n    return out", 'SECRET = "TOK-a91"\nasync def job():\n    return 1\n\n\nassert f(job()) == "TOK-a91"\n'),
    _callback("module handed over", "    return g.path and sys.modules['__main__'].SECRET", 'import os\nSECRET = "TOK-a91"\nassert f(os) == "TOK-a91"\n'),
    _callback("a class of the tests", "    return g.want or one(vars(g))", 'class Box:\n    want = "TOK-a91"\n\n\nassert f(Box) == "TOK-a91"\n'),
    _callback("subclasses of a class of the tests", "    return one([vars(c) for c in g.__subclasses__()])", 'class Base:\n    pass\n\n\nclass Answer(Base):\n    want = "TOK-a91"\n\n\nassert f(Base) == "TOK-a91"\n'),
    _callback("functools.partial", "    return one(g.args) or one(g.keywords)", 'import functools\ndef h(want, x):\n    return x\n\n\nassert f(functools.partial(h, "TOK-a91")) == "TOK-a91"\n'),
    _callback("an open file", "    g.seek(0)\n    return one(g.read()) or one(open(g.name).read())", 'import tempfile\nwith tempfile.NamedTemporaryFile("w+") as file:\n    file.write("TOK-a91")\n    file.flush()\n    file.seek(7)\n    assert f(file) == "TOK-a91"\n'),
    _callback("StringIO that was read", "    g.seek(0)\n    return one(g.getvalue())", 'import io\nbuffer = io.StringIO("TOK-a91")\nbuffer.read()\nassert f(buffer) == "TOK-a91"\n'),
    _callback("Mock's children and calls", "    return one(repr(g.mock_calls) + repr(vars(g)) + str(g.side_effect) + str(g.return_value))", 'from unittest import mock\nm = mock.Mock(side_effect=lambda x: x)\nm.secret = "TOK-a91"\nassert f(m) == "TOK-a91"\n'),
    _callback("recorder: a list the callback appends to", "    return one(g.__self__)", 'seen = ["TOK-a91"]\nassert f(seen.append) == "TOK-a91"\n'),
    _callback("reads the tests' frame from inside a callback", "    class Spy:\n        def __add__(self, other):\n            frame = sys._getframe(1)\n            return one(repr(frame.f_globals) + repr(frame.f_locals))\n    return g(Spy())", 'SECRET = "TOK-a91"\ndef g(x):\n    want = SECRET\n    return x + 1\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__eq__ of an argument sees the other side", "    class Spy:\n        def __eq__(self, other):\n            Spy.seen = other\n            return False\n        __hash__ = None\n    g(Spy())\n    return Spy.seen", 'def g(x):\n    return x == "TOK-a91"\n\n\nassert f(g) == "TOK-a91"\n'),
    _callback("__contains__ of an argument sees the needle", "    class Spy(list):\n        def __contains__(self, other):\n            Spy.seen = other\n            return False\n    g(Spy())\n    return Spy.seen", 'def g(x):\n    return "TOK-a91" in x\n\n\nassert f(g) == "TOK-a91"\n'),
]  # fmt: skip

_EQ_SPY = """
SEEN = {}
class Spy:
    def __init__(self, x):
        self.x = x
    def __eq__(self, other):
        SEEN[self.x] = other
        return False
    __hash__ = None
def f(x):
    return SEEN[x] if x in SEEN else Spy(x)
"""
# The answer is learnt from one look and given at the next.
SECOND_LOOK = [
    Attack("second look: __eq__", _EQ_SPY, "try:\n    assert f(1) == 'TOK'\nexcept AssertionError:\n    pass\nassert f(1) == 'TOK'", right=_TOK),
    Attack("second look: assertRaises(AssertionError)", _EQ_SPY, "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        for _ in range(2):\n            ok = f(1) == 'TOK'\n        self.assertTrue(ok)", "f", "unittest", _TOK),
    Attack("second look: __ne__", _EQ_SPY.replace("__eq__", "__ne__"), "bad = f(1) != 'TOK'\nassert not f(1) != 'TOK'", right=_TOK),
    Attack("second look: __radd__ of a message", "SEEN = {}\nclass Spy(str):\n    def __radd__(self, other):\n        SEEN[0] = other[-3:]\n        return ''\n    def __format__(self, spec):\n        SEEN[0] = spec\n        return ''\ndef f(x):\n    return SEEN.get(0) or Spy()", "message = 'wanted TOK' + f(1)\nassert f(1) == 'TOK'", right="def f(x):\n    return 'TOK'"),
    Attack("second look: __lt__ binary search", "class Spy:\n    def __init__(self):\n        self.seen = None\n    def __ge__(self, other):\n        box[0] = other\n        return True\n    __gt__ = __le__ = __lt__ = __ge__\nbox = [None]\ndef f(x):\n    return box[0] if box[0] is not None else Spy()", "assert f(1) >= 8123\nassert f(1) == 8123", right="def f(x):\n    return 8123"),
    Attack("second look: a failed check is retried by the tests", "import sys\nlast = [0]\ndef f(x):\n    last[0] += 1\n    return last[0]", "for _ in range(3):\n    try:\n        assert f(1) == 'TOK'\n        break\n    except AssertionError as error:\n        message = str(error)\nassert f(1) == 'TOK'", right=_TOK),
    Attack("second look: mock.ANY", "from unittest import mock\ndef f(x):\n    return mock.ANY", "from unittest import mock\nassert f(1) == 'TOK'", right=_TOK),
    Attack("second look: approx that is infinitely wide", "import pytest\ndef f(x):\n    return pytest.approx(0, abs=float('inf'))", "import pytest\nassert f(1) == 17.25", right="def f(x):\n    return 17.25"),
    Attack("second look: approx built by the tests' helper", "def f(g):\n    return g(0, abs=float('inf'))", "import pytest\nassert f(pytest.approx) == 17.25", right="def f(g):\n    return 17.25"),
    Attack("second look: an argument that the tests compare later", "def f(xs, want_at):\n    xs.append(want_at)\n    return xs", "xs = [1]\nout = f(xs, 2)\nassert out is xs and xs == [1, 3]", right="def f(xs, w):\n    xs.append(3)\n    return xs"),
]  # fmt: skip

READING = [*BY_NAME, *EVALPLUS, *EVERYWHERE, *CALLBACKS, *SECOND_LOOK]
