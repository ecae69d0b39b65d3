"""Hostile programs: none of them does what its tests want, and all of them want to be passed.

`python -m tests.sandbox.attacks` counts them; with `--verify` it also runs the right program of
each attack that has one by real pytest, which shows that its tests can be passed. The attacks
themselves run nowhere but in the sandbox.
"""

from __future__ import annotations

import collections
import sys

from tests.sandbox.attacks_crossing import CROSSING
from tests.sandbox.attacks_judging import JUDGING
from tests.sandbox.attacks_process import FARMING, INFLUENCES, PROCESS
from tests.sandbox.attacks_reading import READING

ATTACKS = [*READING, *JUDGING, *PROCESS, *CROSSING]

__all__ = ["ATTACKS", "FARMING", "INFLUENCES"]


def main() -> None:
    from tests.sandbox.beside import run_beside

    print(f"{len(ATTACKS)} attacks, {len(INFLUENCES)} influences, {len(FARMING)} farming")
    print(dict(collections.Counter(attack.kind for attack in ATTACKS)))
    if "--verify" in sys.argv:
        jobs = {(a.right, a.tests): a.name for a in ATTACKS if a.right}
        wrong = 0
        for (right, tests), name in jobs.items():
            beside = run_beside(right, tests)
            if not beside.is_green:
                wrong += 1
                print(f"NOT GREEN {name}: {beside}")
        print(f"{len(jobs) - wrong} of {len(jobs)} right programs pass real pytest")


if __name__ == "__main__":
    main()
