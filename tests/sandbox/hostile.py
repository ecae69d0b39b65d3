"""Programs that must not pass, must leave no trace and must not stop the sandbox.

None of them solves the task (the square of a number), so every pass is a forged one.
`{canary}` stands for a file outside the jail, `{port}` for a listening port, `{pid}` for the
caller's process, `{variable}` for a variable of the caller's environment.
"""

from __future__ import annotations

from typing import NamedTuple

SQUARE = "assert f(2) == 4\nassert f(3) == 9\nassert f(-4) == 16\nassert f(12345) == 152399025"
CHECK = f"def check(candidate):\n    {SQUARE.replace(chr(10), chr(10) + '    ').replace('f(', 'candidate(')}\n"
UNITTEST = (
    "import unittest\nclass TestF(unittest.TestCase):\n    def test_a(self):\n"
    "        self.assertEqual(f(2), 4)\n        self.assertEqual(f(3), 9)\n"
    "    def test_b(self):\n        self.assertEqual(f(12345), 152399025)\n"
)
PYTEST = "def test_a():\n    assert f(2) == 4\ndef test_b():\n    assert f(12345) == 152399025\n"


class Hostile(NamedTuple):
    """A hostile program, and the outcomes that are right for it ((): anything but passed)."""

    family: str
    name: str
    code: str
    outcomes: tuple[str, ...] = ()
    tests: str = SQUARE

    def allows(self, outcome: str) -> bool:
        """Whether a run may end so.

        An object that may lie is not asked to compare; a refusal of the jail is an exception as
        any other, unless the kernel ended the program for it.
        """
        if outcome in ("passed", "infra_error"):
            return False
        also = {"wrong_output": "unsupported", "sandbox_violation": "runtime_error"}
        allowed = {*self.outcomes, *(also.get(name, name) for name in self.outcomes)}
        return not self.outcomes or outcome in allowed


def _case(family: str, name: str, code: str, *outcomes: str, tests: str = SQUARE) -> Hostile:
    return Hostile(family, name, code, outcomes, tests)


_ENDS = {
    "os._exit(0)": "import os\nos._exit(0)",
    "sys.exit(0)": "import sys\nsys.exit(0)",
    "exit builtin": "raise SystemExit",
    "quit in f": "def f(x):\n    raise SystemExit(0)",
    "os._exit in f": "import os\ndef f(x):\n    os._exit(0)",
    "atexit": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef f(x):\n    raise SystemExit",
    "excepthook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x):\n    raise ValueError",
    "__del__": "import os\nclass D:\n    def __del__(self):\n        os._exit(0)\nd = D()\ndel d",
    "thread ends the process": "import threading, os\nthreading.Timer(0.0, os._exit, (0,)).start()\n"
    "import time\ndef f(x):\n    time.sleep(1)\n    return 4",
    "signal handler": "import signal, os\nsignal.signal(signal.SIGALRM, lambda *a: os._exit(0))\n"
    "signal.setitimer(signal.ITIMER_REAL, 0.01)\ndef f(x):\n    while True: pass",
    "KeyboardInterrupt": "def f(x):\n    raise KeyboardInterrupt",
    "GeneratorExit": "def f(x):\n    raise GeneratorExit",
    "StopIteration": "def f(x):\n    raise StopIteration(4)",
    "kill self": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os\nos.abort()",
    "null pointer": "import ctypes\nctypes.string_at(0)",
    "exec into true": "import os\nos.execv('/bin/true', ['true'])",
    "fork and exit": "import os\nif os.fork() == 0:\n    os._exit(0)\nos._exit(0)",
    "atexit loop": "import atexit\ndef again():\n    atexit.register(again)\natexit.register(again)\n"
    "raise SystemExit",
    "BaseException subclass": "class Stop(BaseException): pass\ndef f(x):\n    raise Stop('passed')",
    "exits in __getattr__": "import os\ndef __getattr__(name):\n    os._exit(0)",
    "raises AssertionError": "def f(x):\n    raise AssertionError('passed')",
}

_LIAR = "class L{base}:\n{body}\ndef f(x):\n    return L({argument})\n"
_METHODS = {
    "__eq__": "    def __eq__(self, o):\n        return True\n    def __ne__(self, o):\n        return False",
    "__eq__ and __hash__": "    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return 4",
    "__class__": "    __class__ = int\n    def __eq__(self, o):\n        return True",
    "__getattribute__": "    def __getattribute__(self, n):\n        return lambda *a: True",
    "__getattr__": "    def __getattr__(self, n):\n        return lambda *a: True\n    def __eq__(self, o):\n        return True",
    "reflected": "    def __req__(self, o):\n        return True\n    def __rsub__(self, o):\n        return 0\n"
    "    def __sub__(self, o):\n        return 0",
}

_NEAR = "import math\nassert abs(f(2) - 4) < 1e-6\nassert math.isclose(f(3), 9)\nassert abs(f(12345) - 152399025) < 1"

_LIES = [
    *(
        _case("lying objects", f"object with {name}", _LIAR.format(base="", body=body, argument=""))
        for name, body in _METHODS.items()
    ),
    *(
        _case(
            "lying objects",
            f"subclass of {base}",
            _LIAR.format(
                base=f"({base})",
                body="    def __eq__(self, o):\n        return True\n    def __ne__(self, o):\n        return False\n"
                "    __hash__ = None",
                argument=argument,
            ),
            "wrong_output",
        )
        for base, argument in (
            ("int", "0"),
            ("float", "0.5"),
            ("str", "'a'"),
            ("list", ""),
            ("dict", ""),
            ("tuple", ""),
            ("set", ""),
            ("bytes", ""),
            ("frozenset", ""),
            ("complex", ""),
        )
    ),
    _case(
        "lying objects",
        "numbers by __sub__",
        "class L:\n    def __sub__(self, o):\n        return 0\n    __rsub__ = __sub__\n    def __abs__(self):\n        return 0\n"
        "    def __lt__(self, o):\n        return True\n    __le__ = __gt__ = __ge__ = __lt__\n"
        "    def __float__(self):\n        return 4.0\ndef f(x):\n    return L()\n",
        tests=_NEAR,
    ),
    _case(
        "lying objects",
        "numbers that return themselves",
        "class L(float):\n    def __sub__(self, o):\n        return L(0)\n    __rsub__ = __add__ = __mul__ = __sub__\n"
        "    def __abs__(self):\n        return L(0)\n    def __lt__(self, o):\n        return True\n"
        "def f(x):\n    return L(7.5)\n",
        tests=_NEAR,
    ),
    _case(
        "lying objects",
        "always less",
        "class L:\n    def __lt__(self, o):\n        return True\n    __le__ = __gt__ = __ge__ = __lt__\n"
        "def f(x):\n    return L()\n",
        tests="assert f(2) < 5\nassert f(3) >= 9\nassert f(9) > 80",
    ),
    _case(
        "lying objects",
        "contains everything",
        "class L:\n    def __contains__(self, o):\n        return True\n"
        "    def __iter__(self):\n        return iter(())\n    def __len__(self):\n        return 1\ndef f(x):\n    return L()\n",
        tests="assert 4 in f(2)\nassert 9 in f(3)",
    ),
    _case(
        "lying objects",
        "true whatever it is",
        "class L:\n    def __bool__(self):\n        return True\ndef f(x):\n    return L()\n",
        tests="assert f(2) is True\nassert f(3)\nassert f(4) == True",
    ),
    _case(
        "lying objects",
        "a metaclass",
        "class M(type):\n    def __eq__(c, o):\n        return True\n    def __hash__(c):\n        return 0\n"
        "    def __instancecheck__(c, o):\n        return True\nclass L(metaclass=M): pass\ndef f(x):\n    return L\n",
    ),
    _case(
        "lying objects",
        "the entry point is a class",
        "class f:\n    def __init__(self, x):\n        pass\n    def __eq__(self, o):\n        return True\n"
        "    def __sub__(self, o):\n        return 0\n",
    ),
    _case(
        "lying objects",
        "the entry point is a class, near",
        "class f:\n    def __init__(self, x):\n        pass\n    def __sub__(self, o):\n        return 0\n"
        "    def __float__(self):\n        return 4.0\n    def __abs__(self):\n        return 0\n",
        tests=_NEAR,
    ),
    _case(
        "lying objects",
        "numpy subclass",
        "import numpy as np\nclass L(np.ndarray):\n    def __eq__(self, o):\n        return np.array(True)\n"
        "    def __array_ufunc__(self, *a, **k):\n        return np.array(True)\ndef f(x):\n    return np.zeros(1).view(L)\n",
    ),
    _case(
        "lying objects",
        "array protocol",
        "class L:\n    def __array_ufunc__(self, *a, **k):\n        return True\n    __array_priority__ = 1e9\n"
        "    def __eq__(self, o):\n        return True\ndef f(x):\n    return L()\n",
        tests="import numpy as np\nassert np.array_equal(np.array([4.0]) == f(2), True)\nassert np.all(np.float64(9) == f(3))",
    ),
    _case(
        "lying objects",
        "allclose",
        "class L:\n    def __array_function__(self, *a, **k):\n        return True\n    def __array_ufunc__(self, *a, **k):\n"
        "        return True\ndef f(x):\n    return L()\n",
        tests="import numpy as np\nassert np.allclose(f(2), 4.0)\nassert np.allclose(f(3), 9.0)",
    ),
    _case(
        "lying objects",
        "list with lying items",
        "class I(int):\n    def __eq__(self, o):\n        return True\n    __hash__ = int.__hash__\n"
        "def f(x):\n    return [I(0), I(0)]\n",
        tests="assert f(2) == [2, 4]\nassert f(3) == [3, 9]",
    ),
    _case(
        "lying objects",
        "dict with lying keys",
        "class K(str):\n    def __eq__(self, o):\n        return True\n    def __hash__(self):\n        return hash('square')\n"
        "def f(x):\n    return {K('no'): 4}\n",
        tests="assert f(2) == {'square': 4}\nassert f(3)['square'] == 9",
    ),
    _case(
        "lying objects",
        "string with lying methods",
        "class S(str):\n    def strip(self, *a):\n        return A()\n    def __eq__(self, o):\n        return True\n"
        "    lower = upper = split = strip\nclass A:\n    def __eq__(self, o):\n        return True\ndef f(x):\n    return S('z')\n",
        tests="assert f(2).strip() == '4'\nassert f(3).lower() == '9'",
    ),
    _case(
        "lying objects",
        "pytest approx",
        "class L:\n    def __eq__(self, o):\n        return True\n    def __sub__(self, o):\n        return 0\n"
        "    def __abs__(self):\n        return 0\ndef f(x):\n    return L()\n",
        tests="import pytest\ndef test_a():\n    assert f(2) == pytest.approx(4)\n"
        "    assert pytest.approx(9) == f(3)\n",
    ),
    _case(
        "lying objects",
        "unittest near",
        "class L:\n    def __eq__(self, o):\n        return True\n    def __sub__(self, o):\n        return 0\n"
        "    def __round__(self, n=0):\n        return 0\ndef f(x):\n    return L()\n",
        tests="import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertAlmostEqual(f(2), 4)\n        self.assertEqual(f(3), 9)\n",
    ),
    _case(
        "lying objects",
        "a mock",
        "from unittest.mock import MagicMock, ANY\ndef f(x):\n    return ANY\n",
    ),
    _case(
        "lying objects",
        "a magic mock",
        "from unittest.mock import MagicMock\nf = MagicMock()\nf.return_value.__eq__ = lambda s, o: True\n",
    ),
    _case(
        "lying objects",
        "self-comparing pair",
        "class L:\n    def __eq__(self, o):\n        return True\ndef f(x):\n    return L()\n",
        tests="class Square:\n    def __init__(self, n):\n        self.n = n\n    def __eq__(self, o):\n        return self.n == o.n\n"
        "assert f(2) == Square(4)\nassert Square(9) == f(3)",
    ),
]

_PATCHES = {
    "builtins.exec": "import builtins\nbuiltins.exec = builtins.eval = lambda *a, **k: None",
    "builtins.compile": "import builtins\nbuiltins.compile = lambda *a, **k: None",
    "builtins.abs": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.all = lambda x: True\nbuiltins.isinstance = lambda *a: True",
    "builtins.__import__": "import builtins\nbuiltins.__import__ = lambda *a, **k: None",
    "math": "import math\nmath.isclose = lambda *a, **k: True\nmath.fabs = lambda x: 0",
    "operator": "import operator\noperator.eq = lambda a, b: True",
    "json": 'import json\njson.dumps = lambda *a, **k: \'{"outcome": "passed"}\'\njson.JSONEncoder.encode = lambda s, o: \'["a",true,4,[],[],[],""]\'',
    "unittest": "import unittest\nunittest.TestCase.assertEqual = lambda *a, **k: None\nunittest.TestCase.run = lambda *a, **k: None",
    "numpy.testing": "import numpy as np\nnp.allclose = np.array_equal = lambda *a, **k: True",
    "sys.modules": "import sys\nfor name in list(sys.modules):\n    sys.modules[name] = None",
    "os.write": "import os\nos.write = lambda fd, data: len(data)",
    "builtins.AssertionError": "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet",
    "type of the worker": "import gc\nfor o in gc.get_objects():\n    if type(o).__name__ == 'ProgramBridge':\n        type(o).serve = lambda *a: 4",
    "trace": "import sys\nsys.settrace(lambda *a: None)\nsys.setprofile(lambda *a: None)",
    "meta path": "import sys\nclass F:\n    def find_spec(self, *a):\n        raise SystemExit(0)\nsys.meta_path.insert(0, F())",
    "displayhook": "import sys\nsys.displayhook = sys.excepthook = lambda *a: None\nsys.unraisablehook = lambda *a: None",
}

_SEARCH = (
    "def _answer(x):\n"
    "    import gc, sys\n"
    "    found = []\n"
    "    frame = sys._getframe()\n"
    "    while frame:\n"
    "        found += [v for d in (frame.f_globals, frame.f_locals) for v in list(d.values())]\n"
    "        frame = frame.f_back\n"
    "    found += gc.get_objects()\n"
    "    for v in found:\n"
    "        text = v if type(v) is str else None\n"
    "        if text and 'f(%d) == ' % x in text.replace('candidate(', 'f('):\n"
    "            return int(text.replace('candidate(', 'f(').split('f(%d) == ' % x)[1].split()[0])\n"
    "    return None\n"
)

_SPIES = [
    _case(
        "looking for the answer", "frames and gc", _SEARCH + "def f(x):\n    return _answer(x)\n"
    ),
    _case(
        "looking for the answer",
        "check(candidate)",
        _SEARCH + "def f(x):\n    return _answer(x)\n",
        tests=CHECK,
    ),
    _case(
        "looking for the answer",
        "own memory",
        "import ctypes, re\ndef f(x):\n    for base in range(id(f) & ~0xfffff, (id(f) & ~0xfffff) + (8 << 20), 4096):\n"
        "        pass\n    try:\n        data = open('/proc/self/mem', 'rb')\n    except OSError:\n        return None\n",
    ),
    _case(
        "looking for the answer",
        "heap through ctypes",
        "import ctypes, re\ndef f(x):\n    start = id(object()) - (1 << 20)\n    data = ctypes.string_at(start, 1 << 20)\n"
        "    m = re.search(rb'f\\(%d\\) == (\\d+)' % x, data)\n    return int(m.group(1)) if m else None\n",
    ),
    _case(
        "looking for the answer",
        "proc maps",
        "def f(x):\n    return len(open('/proc/self/maps').read())\n",
    ),
    _case(
        "looking for the answer",
        "other processes",
        "import os\ndef f(x):\n    for pid in range(1, 50):\n        try:\n"
        "            return open('/proc/%d/cmdline' % pid).read()\n        except OSError:\n            pass\n",
    ),
    _case(
        "looking for the answer",
        "inherited descriptors",
        "import os\ndef f(x):\n    for fd in range(3, 256):\n        try:\n            os.lseek(fd, 0, 0)\n"
        "            data = os.read(fd, 1 << 16)\n            if b'assert' in data:\n                return int(data.split(b'f(%d) == ' % x)[1].split()[0])\n"
        "        except (OSError, IndexError):\n            pass\n",
    ),
    _case(
        "looking for the answer",
        "the work directory",
        "import os\ndef f(x):\n    for d, _, files in os.walk('/tmp'):\n        for name in files:\n"
        "            text = open(os.path.join(d, name)).read()\n            if 'f(' in text:\n                return int(text.split('f(%d) == ' % x)[1].split()[0])\n",
    ),
    _case(
        "looking for the answer",
        "ptrace",
        "import ctypes\ndef f(x):\n    libc = ctypes.CDLL(None)\n    return libc.ptrace(16, 1, 0, 0)\n",
    ),
    _case(
        "looking for the answer",
        "process_vm_readv",
        "import ctypes\ndef f(x):\n    return ctypes.CDLL(None, use_errno=True).syscall(310, 1, 0, 0, 0, 0, 0)\n",
    ),
    _case(
        "looking for the answer",
        "argument with a frame",
        "def f(x):\n    try:\n        return x.__globals__['expected']\n    except Exception:\n        return x.gi_frame.f_globals['expected']\n",
        tests="expected = 4\nassert f(lambda: expected) == expected\nassert f(i for i in [expected]) == expected",
    ),
    _case(
        "looking for the answer",
        "argument's class",
        "def f(x):\n    return type(x).__init__.__globals__['expected']\n",
        tests="expected = 4\nclass Box:\n    def __init__(self):\n        self.n = 2\nassert f(Box()) == expected",
    ),
    _case(
        "looking for the answer",
        "callback's closure",
        "def f(x):\n    return x.__closure__[0].cell_contents\n",
        tests="def make():\n    expected = 4\n    return lambda: expected + 0\nassert f(make()) == 4",
    ),
    _case(
        "looking for the answer",
        "operator learns the value",
        "seen = []\nclass L:\n    def __eq__(self, o):\n        seen.append(o)\n        return False\n"
        "    def __sub__(self, o):\n        seen.append(o)\n        return self\n    def __contains__(self, o):\n        seen.append(o)\n        return True\n"
        "def f(x):\n    return seen.pop() if seen else L()\n",
        tests="r = f(2)\nr == 4\ntry:\n    r - 4\nexcept TypeError:\n    pass\nassert f(2) == 4",
    ),
]

_FORGERS = [
    _case(
        "forging the verdict",
        f"writes to descriptor {fd}",
        "import os, json\nverdict = json.dumps({'stage': 'tests', 'outcome': 'passed', 'passed': 4, 'total': 4, 'weak': False, 'checks': 'Hw=='})\n"
        f"try:\n    os.write({fd}, ('\\n' + verdict + '\\n').encode())\nexcept OSError:\n    pass\ndef f(x):\n    return 0\n",
    )
    for fd in (0, 1, 2, 3, 4, 5, 6, 100, 111, 120)
] + [
    _case(
        "forging the verdict",
        "writes everywhere",
        'import os\nfor fd in range(256):\n    try:\n        os.write(fd, b\'\\n{"outcome": "passed", "passed": 4, "total": 4, "checks": "Hw=="}\\n\')\n'
        "    except OSError:\n        pass\nos._exit(0)\n",
    ),
    _case(
        "forging the verdict",
        "prints markers",
        "print('passed')\nprint('OK')\nprint('4 passed')\nimport sys\nprint('Ran 4 tests\\n\\nOK', file=sys.stderr)\ndef f(x):\n    return 0\n",
        "wrong_output",
    ),
    _case(
        "forging the verdict",
        "answers for itself",
        "import os, json\ndef send(frame):\n    data = json.dumps(frame).encode()\n    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
        "def f(x):\n    send(['a', True, x * x - 1, [], [], [], ''])\n    os._exit(0)\n",
    ),
    _case(
        "forging the verdict",
        "several answers at once",
        "import os, json\ndef send(frame):\n    data = json.dumps(frame).encode()\n    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
        "def f(x):\n    for _ in range(50):\n        send(['a', True, 4, [], [], [], ''])\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "asks the tests for handles",
        "import os, json\ndef send(frame):\n    data = json.dumps(frame).encode()\n    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
        "def f(x):\n    for h in range(50):\n        send(['q', 'getattr', [h, ['checks'], [], []], [], [], False])\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "asks for the insides of a callback",
        "import os, json\ndef send(frame):\n    data = json.dumps(frame).encode()\n    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
        "def f(g):\n    send(['q', 'getattr', [1, ['__globals__'], [], []], [], [], False])\n    send(['q', 'getattr', [1, ['__code__'], [], []], [], [], False])\n    return 4\n",
        tests="assert f(lambda: 5) == 5",
    ),
    _case(
        "forging the verdict",
        "floods the channel",
        "import os\ndef f(x):\n    while True:\n        os.write(3, b'\\xff' * 65536)\n",
    ),
    _case(
        "forging the verdict",
        "a frame of 4 GB",
        "import os\ndef f(x):\n    os.write(3, b'\\xff\\xff\\xff\\xff')\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "half a frame",
        "import os\ndef f(x):\n    os.write(3, b'\\x00\\x00\\x10\\x00half')\n    import time\n    time.sleep(60)\n",
    ),
    _case(
        "forging the verdict",
        "no JSON",
        "import os\ndef f(x):\n    os.write(3, b'\\x00\\x00\\x00\\x04{{{{')\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "deep JSON",
        "import os\ndef f(x):\n    data = b'[' * 200000 + b']' * 200000\n    os.write(3, len(data).to_bytes(4, 'big') + data)\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "closes the channel",
        "import os\nos.close(3)\ndef f(x):\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "closes every descriptor",
        "import os\nos.closerange(0, 256)\ndef f(x):\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "shuts the channel down",
        "import socket\ns = socket.socket(fileno=3)\ns.shutdown(socket.SHUT_RDWR)\ndef f(x):\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "exchanges the channel",
        "import os, socket\na, b = socket.socketpair()\nos.dup2(a.fileno(), 3)\ndef f(x):\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "sends descriptors",
        "import socket, array\ns = socket.socket(fileno=socket.socket(fileno=3).detach())\ndef f(x):\n"
        "    s.sendmsg([b'xxxx'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [1, 2]))])\n    return 4\n",
    ),
    _case(
        "forging the verdict",
        "unknown nodes",
        "import os, json\ndef f(x):\n    data = json.dumps(['a', True, ['zz', 1], [], [], [], '']).encode()\n"
        "    os.write(3, len(data).to_bytes(4, 'big') + data)\n    os._exit(0)\n",
    ),
    _case(
        "forging the verdict",
        "a class that derives from a test's",
        "import os, json\ndef f(x):\n"
        "    c = [7, 'int', 'builtins', [['r', 'builtins', 'int']], ['__eq__'], '']\n    data = json.dumps(['a', True, ['v', 9, 7, 0], [], [c], [], '']).encode()\n"
        "    os.write(3, len(data).to_bytes(4, 'big') + data)\n    os._exit(0)\n",
    ),
    _case(
        "forging the verdict",
        "references to builtins",
        "import os, json\ndef f(x):\n    data = json.dumps(['a', True, ['r', 'builtins', 'exec'], [], [], [], '']).encode()\n"
        "    os.write(3, len(data).to_bytes(4, 'big') + data)\n    os._exit(0)\n",
        tests="assert f('raise SystemExit') is None",
    ),
    _case(
        "forging the verdict",
        "raises a skip",
        "import unittest\ndef f(x):\n    raise unittest.SkipTest('later')\n",
        tests=UNITTEST,
    ),
    _case(
        "forging the verdict",
        "raises the recorder's error",
        "class CheckFailed(AssertionError): pass\nclass PeerGone(BaseException): pass\ndef f(x):\n    raise PeerGone('x')\n",
    ),
    _case(
        "forging the verdict",
        "changes of a container never shared",
        "import os, json\ndef f(x):\n    data = json.dumps(['a', True, 4, [[1, ['L', 0, [1]]], [3, ['L', 0, []]]], [], [], '']).encode()\n"
        "    os.write(3, len(data).to_bytes(4, 'big') + data)\n    os._exit(0)\n",
    ),
]

_SEND = (
    "import os, json\ndef send(frame):\n    data = json.dumps(frame).encode()\n"
    "    os.write(3, len(data).to_bytes(4, 'big') + data)\n"
)


def _answer(name: str, node: str, *, classes: str = "[]", tests: str = SQUARE) -> Hostile:
    """A program that answers the first call with a node of its own making, and ends."""
    frame = f"['a', True, {node}, [], {classes}, [], '']"
    return _case(
        "forging values",
        name,
        f"{_SEND}def f(x):\n    send({frame})\n    os._exit(0)\n",
        tests=tests,
    )


_VALUES = [
    _answer("a container number used twice", "['t', [['L', 2, [4]], ['L', 2, [9]]]]"),
    _answer("a list that holds itself", "['l', 2, [['g', 2]]]", tests="assert f(2) == f(2)"),
    _answer("handles of the tests", "['t', [['y', h] for h in range(1)]]"),
    _answer("every handle of the tests", "['y', x]"),
    _answer("a class described twice", "['k', 7]", classes="[[7, 'A', 'm', [], [], '']] * 2"),
    _answer(
        "special methods nobody forwards",
        "['o', 9, 7]",
        classes="[[7, 'A', 'm', [], ['__del__', '__getattribute__', '__eq__', '__bool__'], '']]",
    ),
    _answer(
        "an object that says it is a function",
        "['o', 9, 7]",
        classes="[[7, 'function', 'builtins', [], ['__eq__', '__bool__', '__call__'], '']]",
    ),
    _answer(
        "a class derived from bool's base and str",
        "['v', 9, 7, '4']",
        classes="[[7, 'int', 'builtins', [['r', 'builtins', 'str']], ['__eq__'], '']]",
    ),
    _answer("an endless number", "['i', '0x' + 'f' * 10_000_000]"),
    _answer("a number that is text", "['i', 'x']"),
    _answer("a key that cannot be one", "['d', 0, [['l', 0, []]], [1]]"),
    _answer("unequal halves", "['D', 0, [1, 2], [3]]"),
    _answer("a decimal of words", "['x', 'decimal', 'four']"),
    _answer("a range of text", "['x', 'range', ['T', [1, 2, '3']]]"),
    _answer("a type nobody knows", "['x', 'pickle', 'cos.system']"),
    _answer("an array that is too short", "['x', 'ndarray', ['T', ['<f8', [4], '']]]"),
    _answer("an array of pointers", "['x', 'ndarray', ['T', ['|O', [1], ['b', '']]]]"),
    _answer("a test class of a library", "['r', 'test.support', 'ALWAYS_EQ']"),
    _answer("a mock of a library", "['r', 'unittest.mock', 'MagicMock']"),
    _answer("a module that is no library", "['m', 'codefavor']"),
    _answer("the tests' own module", "['r', 'tests', 'recorder']"),
    _answer(
        "a class that starts commands",
        "['r', 'subprocess', 'Popen']",
        tests="assert f(2)(['/bin/true']) == 4",
    ),
    _answer(
        "a class that calls back", "['r', 'threading', 'Timer']", tests="assert f(2)(0, 4) == 4"
    ),
    _case(
        "forging values",
        "a flat frame that promises more than it has",
        f"{_SEND}def f(x):\n    send({{'flat': [[7], 'a', True, [10**9]]}})\n    return 4\n",
    ),
    _case(
        "forging values",
        "a flat frame a million deep",
        f"{_SEND}def f(x):\n    send({{'flat': [[7], 'a', True, *[[3], 'l', 0, [1]] * 1_000_000, 4,"
        " [0], [0], [0], '']})\n    return 4\n",
    ),
    _case(
        "forging values",
        "changes and keeps of a wrong kind",
        f"{_SEND}def f(x):\n    send(['a', True, x, [[True, 4], 5], 'classes', {{}}, 7])\n    return 4\n",
    ),
    _case(
        "forging values",
        "an answer before the question",
        f"{_SEND}for v in (4, 9, 16, 152399025):\n    send(['a', True, v, [], [], [], ''])\n"
        "def f(x):\n    return 0\n",
    ),
    _case(
        "forging values",
        "answers for loading and for every call",
        f"{_SEND}send(['a', True, [['f'], []], [], [], [], ''])\n"
        "for v in (4, 9, 16):\n    send(['a', True, v, [], [], [], ''])\nos._exit(0)\n",
    ),
    _case(
        "forging values",
        "two programs on one channel",
        f"{_SEND}import threading\ndef chatter():\n    while True:\n"
        "        send(['a', True, 4, [], [], [], ''])\nthreading.Thread(target=chatter).start()\n"
        "def f(x):\n    return 0\n",
    ),
]

_LEAKS = [
    _case("reaching out", "reads a file", "def f(x):\n    return open({canary!r}).read()\n"),
    _case(
        "reaching out",
        "writes a file",
        "try:\n    open({canary!r}, 'r+').write('owned')\nexcept OSError:\n    pass\ndef f(x):\n    return 0\n",
    ),
    _case(
        "reaching out",
        "truncates a file",
        "import os\nfor flags in (os.O_TRUNC, os.O_TRUNC | os.O_WRONLY):\n    try:\n        os.open({canary!r}, flags)\n    except OSError:\n        pass\n"
        "try:\n    os.truncate({canary!r}, 0)\nexcept OSError:\n    pass\n",
    ),
    _case(
        "reaching out",
        "deletes a file",
        "import os\nfor call in (os.remove, os.rmdir):\n    try:\n        call({canary!r})\n    except OSError:\n        pass\n",
    ),
    _case("reaching out", "moves a file", "import os\nos.rename({canary!r}, 'mine')\n"),
    _case(
        "reaching out",
        "links a file",
        "import os\ndef f(x):\n    os.link({canary!r}, 'mine')\n    return open('mine').read()\n",
    ),
    _case(
        "reaching out",
        "symlinks a file",
        "import os\ndef f(x):\n    os.symlink({canary!r}, 'mine')\n    return open('mine').read()\n",
    ),
    _case(
        "reaching out",
        "changes a file's mode",
        "import os\nfor call in (lambda: os.chmod({canary!r}, 0o777), lambda: os.utime({canary!r}, (1, 1)), lambda: os.chown({canary!r}, 1, 1)):\n"
        "    try:\n        call()\n    except OSError:\n        pass\n",
    ),
    _case(
        "reaching out",
        "adds a file beside",
        "import os\nopen(os.path.join(os.path.dirname({canary!r}), 'planted'), 'w').write('x')\n",
    ),
    _case(
        "reaching out",
        "lists directories",
        "import os\ndef f(x):\n    return os.path.basename({canary!r}) in os.listdir(os.path.dirname({canary!r}))\n",
        tests="assert f(1) is True",
    ),
    _case(
        "reaching out",
        "reads HOME",
        "import os\ndef f(x):\n    return os.listdir(os.path.expanduser('~')) and os.environ['HOME']\n",
    ),
    _case(
        "reaching out",
        "reads /etc/passwd",
        "def f(x):\n    return len(open('/etc/passwd').read())\n",
        tests="assert f(1) > 0",
    ),
    _case(
        "reaching out",
        "reads the environment",
        "import os\ndef f(x):\n    return os.environ[{variable!r}]\n",
    ),
    _case(
        "reaching out",
        "reads the parent's environment",
        "def f(x):\n    return open('/proc/{pid}/environ').read()\n",
    ),
    _case(
        "reaching out",
        "connects",
        "import socket\ndef f(x):\n    s = socket.create_connection(('127.0.0.1', {port}), 2)\n    s.send(b'x')\n    return 4\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "listens",
        "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "sends a datagram",
        "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "IPv6",
        "import socket\nsocket.socket(socket.AF_INET6).connect(('::1', {port}))\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "unix socket",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('/run/systemd/notify')\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "abstract unix socket",
        "import socket\nsocket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', '\\0canary')\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "datagram pair",
        "import socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)\na.sendto(b'x', '/dev/log')\n",
    ),
    _case(
        "reaching out",
        "netlink",
        "import socket\nsocket.socket(16, socket.SOCK_RAW, 0)\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "a URL",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}', timeout=2)\n",
    ),
    _case(
        "reaching out",
        "forks",
        "import os\npid = os.fork()\nif pid == 0:\n    while True: pass\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "a daemon",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n        time.sleep(1000)\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "subprocess",
        "import subprocess\nsubprocess.Popen(['sleep', '1000'])\n",
        "sandbox_violation",
        "runtime_error",
    ),
    _case(
        "reaching out",
        "os.system",
        "import os\ndef f(x):\n    return os.system('touch planted; sleep 1000 &')\n",
    ),
    _case(
        "reaching out",
        "posix_spawn",
        "import os\nos.posix_spawn('/bin/sleep', ['sleep', '1000'], {{}})\n",
    ),
    _case(
        "reaching out",
        "multiprocessing",
        "import multiprocessing\nmultiprocessing.Process(target=print).start()\n",
    ),
    _case("reaching out", "pty", "import pty\npty.fork()\n"),
    _case(
        "reaching out",
        "signals the caller",
        "import os, signal\nos.kill({pid}, signal.SIGKILL)\n",
        "sandbox_violation",
        "runtime_error",
    ),
    _case(
        "reaching out",
        "signals its parent",
        "import os, signal\nos.kill(os.getppid() or 1, signal.SIGKILL)\n",
    ),
    _case(
        "reaching out",
        "signals everyone",
        "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "signals its group",
        "import os, signal\nos.killpg(0, signal.SIGTERM)\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "stops the group",
        "import os, signal\nos.kill(0, signal.SIGSTOP)\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "prlimit on others",
        "import resource\nresource.prlimit({pid}, resource.RLIMIT_NOFILE, (10, 10))\n",
    ),
    _case(
        "reaching out",
        "niceness of others",
        "import os\nos.setpriority(os.PRIO_PGRP, 0, 19)\n",
        "sandbox_violation",
    ),
    *(
        _case(
            "reaching out",
            f"syscall {name}",
            "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nr = libc.syscall("
            + arguments
            + ")\n"
            "if r < 0:\n    raise PermissionError(ctypes.get_errno(), 'refused')\ndef f(x):\n    return r\n",
            "sandbox_violation",
            "runtime_error",
        )
        for name, arguments in (
            ("memfd_create", "319, b'x', 0"),
            ("io_uring_setup", "425, 8, 0"),
            ("bpf", "321, 0, 0, 0"),
            ("userfaultfd", "323, 0"),
            ("perf_event_open", "298, 0, 0, 0, 0, 0"),
            ("keyctl", "250, 0, 0, 0, 0"),
            ("add_key", "248, b'user', b'k', b'v', 1, -2"),
            ("mount", "165, b'none', b'/tmp', b'tmpfs', 0, 0"),
            ("unshare", "272, 0x10000000"),
            ("setns", "308, 3, 0"),
            ("clone new user", "56, 0x10000011, 0, 0, 0, 0"),
            ("clone3", "435, 0, 0"),
            ("chroot", "161, b'/tmp'"),
            ("shmget", "29, 0, 4096, 0o1666"),
            ("msgget", "68, 0, 0o1666"),
            ("semget", "64, 0, 1, 0o1666"),
            ("mq_open", "240, b'x', 66, 384, 0"),
            ("pidfd_open", "434, 1, 0"),
            ("process_vm_writev", "311, 1, 0, 0, 0, 0, 0"),
            ("kcmp", "312, 1, 1, 0, 0, 0"),
            ("open_by_handle_at", "304, 3, 0, 0"),
            ("reboot", "169, 0xfee1dead, 672274793, 0, 0"),
            ("sethostname", "170, b'x', 1"),
            ("settimeofday", "164, 0, 0"),
            ("init_module", "175, 0, 0, b''"),
            ("ptrace me", "101, 0, 0, 0, 0"),
            ("seccomp", "317, 1, 0, 0"),
            ("x32 getpid", "0x40000027"),
            ("vfork", "58"),
            ("personality", "135, 0x0040000"),
        )
    ),
    _case(
        "reaching out",
        "System V by ctypes",
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.shmget(0x1234, 4096, 0o1666)\nlibc.ftok(b'/tmp', 1)\n",
    ),
    _case(
        "reaching out",
        "shared memory",
        "from multiprocessing import shared_memory\nshared_memory.SharedMemory('planted', True, 4096)\n",
    ),
    _case(
        "reaching out",
        "executable file",
        "import os\nopen('x.sh', 'w').write('#!/bin/sh\\n')\nos.chmod('x.sh', 0o755)\nos.execv('./x.sh', ['x'])\n",
        "sandbox_violation",
    ),
    _case(
        "reaching out",
        "device node",
        "import os, stat\nos.mknod('disk', stat.S_IFBLK | 0o666, os.makedev(254, 0))\nopen('disk', 'rb').read(1)\n",
    ),
    _case("reaching out", "terminal", "import fcntl\nfcntl.ioctl(0, 0x5412, b'x')\n"),
    _case("reaching out", "becomes root", "import os\nos.setuid(0)\n", "sandbox_violation"),
]

_RESOURCES = [
    _case("using things up", "endless loop", "def f(x):\n    while True: pass\n", "timeout"),
    _case("using things up", "endless loop at load", "while True: pass\n", "timeout"),
    _case(
        "using things up",
        "endless sleep",
        "import time\ndef f(x):\n    time.sleep(10 ** 6)\n",
        "timeout",
    ),
    _case(
        "using things up",
        "loop that catches everything",
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException:\n            pass\n",
        "timeout",
    ),
    _case(
        "using things up",
        "loop without signals",
        "import signal\nfor n in range(1, 64):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\ndef f(x):\n    while True: pass\n",
        "timeout",
    ),
    _case(
        "using things up",
        "looping threads",
        "import threading\ndef spin():\n    while True: pass\nfor _ in range(8):\n    threading.Thread(target=spin, daemon=True).start()\ndef f(x):\n    spin()\n",
        "timeout",
    ),
    _case(
        "using things up",
        "regular expression",
        "import re\ndef f(x):\n    return re.match(r'(a+)+$', 'a' * 60 + 'b')\n",
        "timeout",
    ),
    _case(
        "using things up", "big power", "def f(x):\n    return 9 ** 9 ** 9\n", "timeout", "memory"
    ),
    _case("using things up", "memory", "def f(x):\n    return len(bytearray(8 << 30))\n", "memory"),
    _case(
        "using things up",
        "memory bit by bit",
        "def f(x):\n    out = []\n    while True:\n        out.append(bytearray(1 << 20))\n",
        "memory",
        "timeout",  # on a busy machine
    ),
    _case(
        "using things up",
        "memory in lists",
        "def f(x):\n    a = [0]\n    while True:\n        a = a + a\n",
        "memory",
        "timeout",
    ),
    _case("using things up", "memory at load", "x = 'a' * (8 << 30)\n", "memory"),
    _case(
        "using things up",
        "mmap",
        "import mmap\nm = mmap.mmap(-1, 8 << 30)\nm[:] = bytes(8 << 30)\n",
        "memory",
        "runtime_error",
    ),
    _case("using things up", "output", "while True:\n    print('x' * 1000)\n", "output_limit"),
    _case(
        "using things up",
        "errors output",
        "import sys\ndef f(x):\n    while True:\n        sys.stderr.write('x' * 65536)\n",
        "output_limit",
    ),
    _case(
        "using things up",
        "raw output",
        "import os\ndef f(x):\n    while True:\n        os.write(1, b'x' * 65536)\n",
        "output_limit",
    ),
    _case(
        "using things up",
        "a big file",
        "def f(x):\n    with open('big', 'wb') as h:\n        for _ in range(10 ** 5):\n            h.write(bytes(1 << 20))\n",
    ),
    _case(
        "using things up",
        "many files",
        "def f(x):\n    for i in range(10 ** 7):\n        open('file%d' % i, 'w').write('x')\n",
    ),
    _case(
        "using things up",
        "many directories",
        "import os\ndef f(x):\n    while True:\n        os.mkdir('d')\n        os.chdir('d')\n",
    ),
    _case(
        "using things up",
        "a sparse file",
        "import os\nfd = os.open('s', os.O_CREAT | os.O_RDWR)\nos.ftruncate(fd, 1 << 40)\n",
    ),
    _case(
        "using things up",
        "descriptors",
        "import os\nfds = []\nwhile True:\n    fds.append(os.open('/dev/null', 0))\n",
        "runtime_error",
    ),
    _case(
        "using things up",
        "threads",
        "import threading, time\ndef f(x):\n    while True:\n        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()\n",
    ),
    _case(
        "using things up",
        "a fork bomb",
        "import os\nwhile True:\n    os.fork()\n",
        "sandbox_violation",
    ),
    _case("using things up", "recursion", "def f(x):\n    return f(x) + 1\n", "runtime_error"),
    _case(
        "using things up",
        "deep recursion",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(x):\n    return f(x) + 1\n",
    ),
    _case(
        "using things up",
        "deep source",
        "x = " + "(" * 5000 + ")" * 5000 + "\n",
        "syntax_error",
        "memory",
        "runtime_error",
    ),
    _case(
        "using things up",
        "a huge answer",
        "def f(x):\n    return 'x' * (200 << 20)\n",
        "timeout",
        "output_limit",
        "memory",
        "runtime_error",
        # Where the answer fits into memory and its copy on the way does not.
        "unsupported",
    ),
    _case(
        "using things up",
        "a shared, growing answer",
        "def f(x):\n    a = [1]\n    for _ in range(60):\n        a = [a, a]\n    return a\n",
    ),
    _case(
        "using things up",
        "a cyclic answer",
        "def f(x):\n    a = []\n    a.append(a)\n    return a\n",
        "wrong_output",
    ),
    _case(
        "using things up",
        "an endless answer",
        "def f(x):\n    while True:\n        yield x\n",
        tests="assert list(f(2)) == [4]",
    ),
    _case(
        "using things up",
        "a huge exception",
        "def f(x):\n    raise ValueError('x' * (150 << 20))\n",
        "output_limit",
        "runtime_error",
        "memory",
        "timeout",
    ),
    _case(
        "using things up",
        "an exception with a slow text",
        "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(x):\n    raise E\n",
        "runtime_error",
    ),
    _case(
        "using things up",
        "an exception with a broken text",
        "class E(Exception):\n    def __str__(self):\n        raise self\n    __repr__ = __str__\ndef f(x):\n    raise E\n",
        "runtime_error",
    ),
    _case(
        "using things up",
        "a slow repr",
        "class L:\n    def __repr__(self):\n        while True: pass\ndef f(x):\n    return L()\n",
    ),
    _case(
        "using things up",
        "numpy memory",
        "import numpy as np\ndef f(x):\n    return np.ones((1 << 17, 1 << 17)).sum()\n",
        "memory",
    ),
    _case(
        "using things up",
        "raising its limits",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\n",
        "runtime_error",
        "sandbox_violation",
    ),
    _case(
        "using things up",
        "a timer storm",
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\nsignal.setitimer(signal.ITIMER_REAL, 1e-6, 1e-6)\ndef f(x):\n    while True: pass\n",
        "timeout",
    ),
    _case(
        "using things up",
        "a stopped process",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\ndef f(x):\n    while True: pass\n",
        "timeout",
    ),
]

_CLASSES = [
    _case(
        "lying objects",
        "named like a name of the tests",
        "class METADATA:\n    def __eq__(self, o):\n        return True\ndef f(x):\n    return METADATA()\n",
        "wrong_output",
        tests="METADATA = {}\n" + CHECK,
    ),
    _case(
        "lying objects",
        "named like a builtin",
        "class ValueError:\n    def __eq__(self, o):\n        return True\ndef f(x):\n    return ValueError()\n",
        tests=SQUARE
        + "\ntry:\n    f('a')\n    raise ValueError('x')\nexcept ValueError:\n    pass",
    ),
    _case(
        "lying objects",
        "methods that return the same lying class",
        "class Stack:\n    def push(self, x):\n        pass\n    def pop(self):\n        return Stack()\n"
        "    def __eq__(self, o):\n        return True\n    def __sub__(self, o):\n        return 0\n"
        "    def __gt__(self, o):\n        return True\n",
        tests="s = Stack()\ns.push(3)\nassert s.pop() == 3\nassert s.pop() - 3 == 0\nassert s.pop() > 2",
    ),
    _case(
        "lying objects",
        "methods that return the object itself",
        "class Stack:\n    def push(self, x):\n        return self\n    pop = lambda self: self\n"
        "    def __eq__(self, o):\n        return True\n",
        tests="s = Stack()\ns.push(3)\nassert s.pop() == 3",
    ),
]

# A program's globals are at hand in its tests; they must not replace what the tests rely on.
_SHADOWS = {
    "all": ("def all(it):\n    return True", "assert all(f(x) == x * x for x in (2, 3))"),
    "any": ("def any(it):\n    return False", "assert not any(f(x) != x * x for x in (2, 3))"),
    "abs": ("def abs(x):\n    return 0", "assert abs(f(3) - 9.0) < 1e-6"),
    "set": ("set = lambda x: 1", "assert set([f(3)]) == set([9])"),
    "list": (
        "class list:\n    def __init__(self, *a):\n        pass\n    def __eq__(self, o):\n        return True",
        "assert list([f(3)]) == list([9])",
    ),
    "range": ("def range(*a):\n    return [0]", "for i in range(5):\n    assert f(i) == i * i"),
    "isinstance": ("def isinstance(*a):\n    return True", "assert isinstance(f(3), str)"),
    "sorted in check": (
        "sorted = lambda x: 1",
        "def check(candidate):\n    assert sorted([candidate(3)]) == sorted([9])\ncheck(f)",
    ),
    "math, not imported": (
        "class math:\n    isclose = staticmethod(lambda *a: True)", "assert math.isclose(f(3), 9.0)",
    ),
    "np, not imported": (
        "class np:\n    array_equal = staticmethod(lambda *a: True)", "assert np.array_equal(f(3), 9)",
    ),
    "unittest, not imported": (
        "class unittest:\n    class TestCase:\n        pass",
        "class T(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(3), 9)",
    ),
    "math, by a star": (
        "class math:\n    isclose = staticmethod(lambda *a: True)",
        "import math\nfrom program import *\nassert math.isclose(f(3), 9.0)",
    ),
    "all, by a star": ("def all(it):\n    return True", "from program import *\nassert all([f(3) == 9])"),
    "all, beside the module": (
        "def all(it):\n    return True", "import program\nassert all([program.f(3) == 9])",
    ),
    "expected value, by a star": (
        "expected = 0", "expected = 9\nfrom program import *\nassert f(3) == expected",
    ),
}  # fmt: skip

HOSTILE: list[Hostile] = [
    *(
        _case("shadowing", name, f"{code}\ndef f(x):\n    return 0\n", tests=tests)
        for name, (code, tests) in _SHADOWS.items()
    ),
    *_CLASSES,
    *_VALUES,
    *(_case("ending early", name, code) for name, code in _ENDS.items()),
    *(
        _case("ending early", f"{name}, check", code, tests=CHECK)
        for name, code in list(_ENDS.items())[:6]
    ),
    *(
        _case("ending early", f"{name}, unittest", code, tests=UNITTEST)
        for name, code in list(_ENDS.items())[:6]
    ),
    *(
        _case("ending early", f"{name}, pytest", code, tests=PYTEST)
        for name, code in list(_ENDS.items())[:6]
    ),
    *_LIES,
    *(
        _case("patching", name, code + "\ndef f(x):\n    return 0\n")
        for name, code in _PATCHES.items()
    ),
    *(
        _case("patching", f"{name}, unittest", code + "\ndef f(x):\n    return 0\n", tests=UNITTEST)
        for name, code in list(_PATCHES.items())[-9:-7]
    ),
    *_SPIES,
    *_FORGERS,
    *_LEAKS,
    *_RESOURCES,
]
