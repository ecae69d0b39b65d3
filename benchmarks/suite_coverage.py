"""Lines and branches of our tracer beside coverage.py's, on references of HumanEval and starter.

    .venv/bin/python benchmarks/suite_coverage.py --peers ENV

ENV is a virtual environment with coverage.py. Each reference runs on a part of its own tests, in
this interpreter and in a process of ENV; the two must name the same lines and the same number of
branches, both possible and taken. Exit code 1 where they do not.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from codefavor.records import Problem
from codefavor.scoring.suite_target import branches_of, lines_of, plain_program
from codefavor.scoring.suite_trace import Trace, coverage_of
from codefavor.settings import data_folder
from codefavor.sources.problems import load_problems

_PEER = """
import contextlib, coverage, io, json, os, sys
os.chdir(sys.argv[1])
sys.path.insert(0, sys.argv[1])
cov = coverage.Coverage(data_file=None, branch=True, config_file=False, include=["*/program.py"])
cov.start()
import program
with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
    exec(open("uses.py").read(), vars(program))
cov.stop()
found = cov._analyze("program.py")
numbers = found.numbers
print(json.dumps({"lines": sorted(found.statements), "missing": sorted(found.missing),
                  "n_branches": numbers.n_branches, "missed": numbers.n_missing_branches}))
"""


def uses_of(problem: Problem, share: float) -> str:
    """The first part of the checks of a problem, so that something stays uncovered."""
    tree = ast.parse(problem.tests)
    block = tree.body
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            block = node.body
    kept = max(1, int(len(block) * share))
    del block[kept:]
    return ast.unparse(tree) + f"\nif 'check' in globals(): check({problem.entry_point})\n"


def ours(code: str, uses: str) -> dict[str, object]:
    """What our tracer saw; raises nothing that the program raises."""
    trace = Trace(10**9)
    scope: dict[str, object] = {"__name__": "program"}
    compiled = compile(code, "<solution>", "exec")
    stdout, sys.stdout = sys.stdout, open("/dev/null", "w")  # noqa: SIM115
    sys.settrace(trace)
    try:
        exec(compiled, scope)  # noqa: S102
        exec(compile(uses, "<uses>", "exec"), scope)  # noqa: S102
    except BaseException:  # a check that was cut may raise
        pass
    finally:
        sys.settrace(None)
        sys.stdout.close()
        sys.stdout = stdout
    lines, branches = lines_of(code), [tuple(one) for one in branches_of(code)]
    found = coverage_of(trace, {"lines": lines, "branches": branches})
    missing = [line for n, line in enumerate(lines) if not found["lines"] >> n & 1]
    missed = len(branches) - found["branches"].bit_count()
    return {"lines": lines, "missing": missing, "n_branches": len(branches), "missed": missed}


def main() -> int:
    """Compare, print one line a difference and a sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--n", type=int, default=25, help="programs of each set")
    options = parser.parse_args()
    n_equal = n = 0
    sums = dict.fromkeys(("lines", "missing", "n_branches", "missed"), 0)
    for name in ("humaneval", "starter"):
        problems = load_problems(name, data_dir=data_folder())
        problems = sorted(problems, key=lambda one: -len(one.reference))[: options.n]
        for place, problem in enumerate(problems):
            code = plain_program(problem.reference)
            uses = uses_of(problem, 0.3 if place % 2 else 1.0)
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "program.py").write_text(code + "\n")
                Path(folder, "uses.py").write_text(uses)
                command = [str(options.peers / "bin" / "python"), "-c", _PEER, folder]
                run = subprocess.run(command, check=True, capture_output=True, timeout=60)
            theirs, own = json.loads(run.stdout), ours(code, uses)
            n += 1
            for key, value in theirs.items():
                sums[key] += value if isinstance(value, int) else len(value)
            n_equal += theirs == own
            if theirs != own:
                print(f"{problem.id}\n  coverage.py {theirs}\n  ours        {own}\n{code}\n")
    print(f"{n_equal} of {n} programs: the same lines and branches (in all {sums})")
    return int(n_equal != n)


if __name__ == "__main__":
    sys.exit(main())
