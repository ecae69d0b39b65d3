"""Views of memory that something else holds, and objects that run code when they are looked at.

Each of these was judged wrongly once: a wrong program passed, or a right one was blamed.
"""

from __future__ import annotations

import pytest

from codefavor.sandbox import SandboxPool

PASSED, WRONG, UNSUPPORTED = "passed", "wrong_output", "unsupported"
NUMPY = "import numpy as np\n"

# Views of an array `a` of the tests, and of a buffer `b` of the program (which `g` changes).
OF_TESTS = {
    "windows": "np.lib.stride_tricks.sliding_window_view(a, 2)",
    "strides": "np.lib.stride_tricks.as_strided(a, (2, 2), a.strides * 2)",
    "a part of windows": "np.lib.stride_tricks.sliding_window_view(a, 2)[:2]",
    "a buffer": "np.frombuffer(a, a.dtype).reshape(2, 2)",
    "a memoryview": "np.asarray(memoryview(a)).reshape(2, 2)",
    "DLPack": "np.from_dlpack(a).reshape(2, 2)",
    "an interface that holds nothing": (
        "np.asarray(type('W', (), {'__array_interface__': a.__array_interface__})()).reshape(2, 2)"
    ),
    "a transposed copy": "a.reshape(2, 2).T",
}
OF_PROGRAM = {
    "a bytearray": ("bytearray(4)", "np.frombuffer(b, 'u1')"),
    "a memoryview": ("bytearray(4)", "np.asarray(memoryview(b))"),
    "an array.array": ("__import__('array').array('B', [0] * 4)", "np.asarray(b)"),
    "ctypes": ("(__import__('ctypes').c_ubyte * 4)()", "np.ctypeslib.as_array(b)"),
    "a map": ("__import__('mmap').mmap(-1, 4)", "np.frombuffer(b, 'u1')"),
    "a file in memory": ("__import__('io').BytesIO(bytes(4)).getbuffer()", "np.asarray(b)"),
    "windows": ("np.zeros(4)", "np.lib.stride_tricks.sliding_window_view(b, 4)[0]"),
}  # fmt: skip


@pytest.mark.parametrize("view", OF_TESTS.values(), ids=OF_TESTS.keys())
@pytest.mark.parametrize("changed", [0, 9])
def test_a_view_of_what_the_tests_change_is_no_copy(
    pools: dict[str, SandboxPool], view: str, changed: int
) -> None:
    tests = f"{NUMPY}a = np.zeros(4)\nv = f(a)\na[:] = 9\nassert v[0, 0] == {changed}"
    result = pools["L2"].run(f"{NUMPY}def f(a):\n    return {view}", tests, entry_point="f")
    assert result.outcome == UNSUPPORTED, result


@pytest.mark.parametrize(("buffer", "view"), OF_PROGRAM.values(), ids=OF_PROGRAM.keys())
@pytest.mark.parametrize("changed", [0, 9])
def test_a_view_of_what_the_program_changes_is_no_copy(
    pools: dict[str, SandboxPool], buffer: str, view: str, changed: int
) -> None:
    program = f"{NUMPY}b = {buffer}\ndef f():\n    return {view}\ndef g():\n    b[0] = 9"
    tests = f"from solution import f, g\na = f()\ng()\nassert a[0] == {changed}"
    result = pools["L2"].run(program, tests)
    assert result.outcome == UNSUPPORTED, result


@pytest.mark.parametrize("changed", [0, 9])
def test_a_view_of_a_bytearray_of_the_tests_is_no_copy(
    pools: dict[str, SandboxPool], changed: int
) -> None:
    program = f"{NUMPY}def f(b):\n    return np.frombuffer(b, 'u1')"
    tests = f"b = bytearray(4)\nv = f(b)\nb[0] = 9\nassert v[0] == {changed}"
    assert pools["L2"].run(program, tests, entry_point="f").outcome == UNSUPPORTED


@pytest.mark.parametrize(
    "view", ["a + 0", "np.lib.stride_tricks.sliding_window_view(a, 2).sum(axis=1)",
             "np.frombuffer(bytes(4), 'u1')"]
)  # fmt: skip
def test_an_array_that_nobody_changes_is_let_go(pools: dict[str, SandboxPool], view: str) -> None:
    program = f"{NUMPY}def f(a):\n    return {view}"
    tests = f"{NUMPY}for i in range(3):\n    a = np.arange(4) * 0\n    assert f(a)[0] == 0\n"
    result = pools["L2"].run(program, f"{tests}    a[:] = 9\n", entry_point="f")
    assert result.outcome == PASSED, result


LOG = (
    "log = []\nclass f:\n    x = 3\n    def __getattribute__(self, name):\n"
    "        log.append(name)\n        return object.__getattribute__(self, name)"
)
LAZY = "made = []\nclass f:\n    @property\n    def __class__(self):\n        made.append(1)\n" + (
    "        return str"
)
META = (
    "log = []\nclass M(type):\n    def {}(kind, *rest):\n        log.append(rest)\n"
    "        return type.{}(kind, *rest)\nclass A(metaclass=M):\n    x = 3\n"
    "def f():\n    log.clear()\n    return A()\ndef n():\n    return len(log)"
)
CATCHES = "\ndef f(g):\n    try:\n        g(A())\n    except {}:\n        return 0\n    return 1"
RAISES = "class A:\n    def __getattribute__(self, name):\n        raise RuntimeError"
ZONE = (
    "from datetime import *\nasked = []\nclass Z(tzinfo):\n    def utcoffset(self, at):\n"
    "        return timedelta(0)\n    def dst(self, at):\n        asked.append(1)\n"
    "        raise ValueError\ndef A():\n    return datetime(2020, 1, 1, tzinfo=Z())\n"
    "def f():\n    return A()"
)
TEXT = (
    "said = []\nclass E(ValueError):\n    def __str__(self):\n        said.append(1)\n"
    "        return 'x'\ndef f():\n    raise E\ndef n():\n    return len(said)"
)
TELLS = (
    "log = []\nclass E(ValueError):\n    def __getattribute__(self, name):\n"
    "        log.append(name)\n        raise RuntimeError\ndef f():\n    raise E('x')"
)
CAUGHT = "import pytest\ndef test_a():\n    with pytest.raises(ValueError{}):\n        f()\n"
# name -> (program, what the tests import, tests, outcome)
LOOKS = {
    "a log": (LOG, "f, log", "o = f()\no.x\nassert log == ['x']", PASSED),
    "a log that is expected to have more": (
        LOG, "f, log", "o = f()\no.x\nassert log == ['__class__', '__class__', 'x']", WRONG,
    ),
    "a lazy object": (LAZY, "f, made", "o = f()\nassert made == []", PASSED),
    "a lazy object that is expected to be made": (
        LAZY, "f, made", "o = f()\nassert made == [1, 1]", WRONG,
    ),
    "an object that says it is a class": (
        "class f:\n    __class__ = type\n    x = 3", "f", "assert f().x == 3", PASSED,
    ),
    "an object that shows nothing": (
        f"{RAISES}\ndef f():\n    return A()\ndef g(a):\n    return object.__getattribute__(a, 'y')"
        "\nA.y = 3", "f, g", "assert g(f()) == 3", PASSED,
    ),
    "an object that shows nothing, handed back": (
        RAISES + CATCHES.format("RuntimeError"), "f", "assert f(lambda x: 1) == 0", UNSUPPORTED,
    ),
    "an object that shows nothing, kept": (
        RAISES + CATCHES.format("RuntimeError"), "f", "assert f(lambda x: 1) == 1", UNSUPPORTED,
    ),
    "attributes of a class": (
        META.format(*["__getattribute__"] * 2), "f, n", "o = f()\nassert n() == 0", PASSED,
    ),
    "the hash of a class": (
        META.format(*["__hash__"] * 2), "f, n", "o = f()\nassert n() == 0", PASSED,
    ),
    "a list of objects whose class is hashed": (
        META.format(*["__hash__"] * 2).replace("return A()", "return [A()]"),
        "f, n", "o = f()\nassert n() == 0", PASSED,
    ),
    "an exception whose class is asked": (
        META.format(*["__getattribute__"] * 2).replace("A(meta", "A(ValueError, meta")
        .replace("return A()", "raise A"),
        "f, n", CAUGHT.format("") + "    assert n() == 0", PASSED,
    ),
    "a zone": (ZONE, "f, asked", "at = f()\nassert at.year == 2020\nassert asked == []", PASSED),
    "a zone that a callback is given": (
        ZONE + CATCHES.format("ValueError"), "f", "assert f(lambda x: 1) == 0", UNSUPPORTED,
    ),
    "a text that nobody asks for": (
        TEXT, "f, n", CAUGHT.format("") + "    assert n() == 0", PASSED,
    ),
    "a text that nobody asks for and that is expected": (
        TEXT, "f, n", CAUGHT.format("") + "    assert n() == 1", WRONG,
    ),
    "a text that somebody asks for": (
        TEXT, "f, n", CAUGHT.format(", match='^x$'") + "    assert n() > 0", PASSED,
    ),
    "a text of an object": (
        "class A:\n    def __str__(self):\n        return 'x'\ndef f():\n    raise ValueError(A())",
        "f", CAUGHT.format(", match='^x$'"), PASSED,
    ),
    "another text": (TEXT, "f", CAUGHT.format(", match='y'"), WRONG),
    "an exception that shows nothing": (
        TELLS, "f, log", CAUGHT.format("") + "    assert log == []", PASSED,
    ),
    "records in the place of numbers": (
        "def f(a):\n    a.dtype = [('x', 'u1'), ('y', 'u1')]",
        "f", f"{NUMPY}a = np.zeros(4, 'u1')\nf(a)\nassert a.shape == (2,)", UNSUPPORTED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "names", "tests", "outcome"), LOOKS.values(), ids=LOOKS.keys())
def test_the_sandbox_looks_at_no_object(
    pools: dict[str, SandboxPool], program: str, names: str, tests: str, outcome: str
) -> None:
    result = pools["L2"].run(program, f"from solution import {names}\n{tests}")
    assert result.outcome == outcome, result
