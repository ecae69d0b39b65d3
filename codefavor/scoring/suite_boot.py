"""The text by which a process in the jail loads this project's modules and forks for its parts."""

from __future__ import annotations

import base64
import json
import marshal
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from codefavor.sandbox import Limits, SandboxPool

MEMORY_BYTES = 1 << 30
_BOOT = """\
{first}
import base64, marshal, os, sys, types
payload = marshal.loads(base64.b64decode({payload!r}))
for name in ('codefavor', 'codefavor.scoring'):
    sys.modules[name] = types.ModuleType(name)
for name, code in marshal.loads(base64.b64decode({modules!r})):
    module = sys.modules['codefavor.scoring.' + name] = types.ModuleType(name)
    exec(code, vars(module))
family, main = sys.modules['codefavor.scoring.suite_family'], module.main
for name in [name for name in sys.modules if name.startswith('codefavor')]:
    del sys.modules[name]
here = os.getcwd()
os.environ.update(HOME=here, TMPDIR=here)
sys.path.insert(0, here)
given = dict(seal=seal, empty=empty, parts=parts, out=out)
del seal, empty, parts, out
family.serve(main, payload, given)
"""


class Reply(NamedTuple):
    """What a fork said, its status, CPU seconds and KiB, and whether its wall time ran out."""

    text: str
    status: int
    cpu_s: float
    kib: int
    is_late: bool


def run_parts(
    pool: SandboxPool,
    modules: tuple[str, ...],
    payload: dict[str, Any],
    parts: Sequence[dict[str, Any]],
    *,
    wall_s: float,
    first: str = "",
) -> Iterator[Reply]:
    """Run `main` of the last module in a fork for each part, up to one that does not end well.

    It is given the payload, of which `seconds` bounds the CPU time of a fork, and its part. `first`
    is the text's first line. Raises SandboxError if the sandbox fails.
    """
    texts = [base64.b64encode(marshal.dumps(part)).decode() for part in parts]
    sizes = [len(text) for text in texts]
    places = list(zip(sizes, accumulate(sizes, initial=0), strict=False))
    payload = {**payload, "places": places, "wall_s": wall_s}
    text = _BOOT.format(
        first=first,
        payload=base64.b64encode(marshal.dumps(payload)).decode(),
        modules=_compiled(modules),
    )
    limits = Limits(cpu_s=10.0, wall_s=wall_s * len(parts), memory_bytes=MEMORY_BYTES)
    for one in json.loads(pool.run_family(text, "".join(texts), limits)):
        yield Reply(*one)


@cache
def _compiled(modules: tuple[str, ...]) -> str:
    """Modules of this folder, each with its code object."""
    found = []
    for name in ("suite_family", *modules):
        text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
        found.append((name, compile(text, f"<{name}>", "exec", dont_inherit=True)))
    return base64.b64encode(marshal.dumps(found)).decode()
