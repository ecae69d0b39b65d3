"""How long it takes to deduplicate many pairs: CPU seconds, wall seconds, memory.

    python benchmarks/dedup.py --rows 100000

The rows are made of real functions, those of Python's standard library, with their names and
numbers drawn anew for each row, so that no two rows are the same and none is a benchmark's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import resource
import sysconfig
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from codefavor.languages import functions_and_classes
from codefavor.pairs.code_tokens import token_string
from codefavor.pairs.dedup import deduplicate
from codefavor.records import Preference

T = TypeVar("T")
_NAME = re.compile(r"\b[a-z_]{3,}\b")
_NUMBER = re.compile(r"\b\d+\b")


def functions(most: int = 4000) -> list[str]:
    """Functions of 4 to 60 lines of the standard library."""
    found: list[str] = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        outline = functions_and_classes(
            path.read_text(encoding="utf-8", errors="replace"), "python"
        )
        if outline is not None:
            found += [
                unit.text
                for unit in outline.units
                if unit.kind == "function" and 4 <= unit.text.count("\n") <= 60
            ]
        if len(found) >= most:
            break
    return found[:most]


def rows(n: int, seed: int = 0) -> Iterator[Preference]:
    """Pairs whose programs are real ones with a third of their words drawn anew."""
    rng = random.Random(seed)
    source = functions()
    words = sorted({word for code in source for word in _NAME.findall(code)})

    def drawn(code: str) -> str:
        names = sorted(set(_NAME.findall(code)))
        own = {name: rng.choice(words) for name in names if rng.random() < 0.3}
        renamed = _NAME.sub(lambda m: own.get(m.group(), m.group()), code)
        return _NUMBER.sub(lambda m: str(int(m.group()[:6]) + rng.randint(0, 9)), renamed)

    for number in range(n):
        instruction = " ".join(rng.choice(words) for _ in range(rng.randint(20, 60)))
        chosen = drawn(rng.choice(source))
        rejected = chosen.replace("return ", "return not ", 1) + "# end\n"
        yield Preference(str(number), instruction, chosen, rejected)


def timed(name: str, work: Callable[[], T]) -> T:
    """Run something and print its times and the memory of the process so far."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        json.dumps(
            {
                "what": name,
                "cpu_s": round(time.process_time() - cpu, 1),
                "wall_s": round(time.perf_counter() - wall, 1),
                "peak_gib": round(memory, 2),
            }
        ),
        flush=True,
    )
    return result


def peer_duplicates(pairs: list[Preference]) -> int:
    """The same work by datasketch, where it is installed: 100 hashes of the same runs of tokens.

    Its candidates are not compared run by run, which ours are.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.8, num_perm=100)
    n_near = 0
    for pair in pairs:
        tokens = token_string(pair.chosen) + "\n" + token_string(pair.rejected)
        sketch = MinHash(num_perm=100)
        sketch.update_batch({tokens[i : i + 5].encode() for i in range(len(tokens) - 4)})
        if index.query(sketch):
            n_near += 1
        else:
            index.insert(pair.id, sketch)
    return n_near


def main() -> None:
    """Make the rows and deduplicate them, with datasketch too where it is installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    print(
        json.dumps(
            {"rows": arguments.rows, "cores": os.cpu_count(), "python": platform.python_version()}
        )
    )
    pairs = timed("make the rows", lambda: list(rows(arguments.rows)))
    n_characters = sum(len(pair.chosen) + len(pair.rejected) for pair in pairs)
    print(json.dumps({"characters_a_program": n_characters // (2 * len(pairs))}))
    kept = timed("deduplicate", lambda: deduplicate(pairs))
    print(json.dumps({"exact": len(kept.exact), "near": len(kept.near)}))
    if find_spec("datasketch"):
        near = timed("deduplicate with datasketch", lambda: peer_duplicates(pairs))
        print(json.dumps({"candidates": near}))


if __name__ == "__main__":
    main()
