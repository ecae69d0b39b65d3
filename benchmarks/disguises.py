"""How many hidden benchmark problems the check finds, by disguise, and what it finds in clean rows.

    CODEFAVOR_DATA=... python benchmarks/disguises.py --clean outputs/commits.jsonl --each 10

Plants are problems of HumanEval and MBPP, drawn by a seed, in rows of `codefavor mine`. The
disguises after the tenth were written when the check was finished.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import re
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codefavor.audits.contamination_report import (
    background_texts,
    benchmark_tasks,
    usual_benchmarks,
)
from codefavor.pairs.decontamination import decontaminate
from codefavor.pairs.prose import prose_of
from codefavor.records import Preference, Problem, Row, read_rows
from codefavor.sources.problems import load_problems

DATA = Path(os.environ["CODEFAVOR_DATA"])
WORDS = """amber brook cedar delta ember fjord grove haven inlet jetty knoll ledge marsh north ocean
pearl quarry ridge shore tide umber vale wharf yarrow zephyr bay cove dune elm fern gale heath isle
juniper kelp loch moor nook oak pier reed slate thorn upland vista willow""".split()  # noqa: SIM905
SAID = (
    "Rework the following unit as we discussed, keep it short.",
    "Make this part of our library easier to maintain.",
    "Please finish the task below with care.",
)
SYNONYMS = {
    "write": "create", "function": "routine", "find": "determine", "list": "sequence",
    "given": "provided", "number": "value", "numbers": "values", "return": "give back",
    "string": "text", "check": "verify", "whether": "if", "array": "vector", "element": "item",
    "elements": "items", "using": "by means of", "integer": "whole number", "maximum": "largest",
    "minimum": "smallest", "two": "both",
}  # fmt: skip
Draw = random.Random
Disguise = Callable[[Problem, Draw, Row], Row]


def bare(problem: Problem) -> str:
    """The reference without docstrings and comments."""
    tree = ast.parse(problem.reference)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def renamed(code: str, draw: Draw) -> str:
    """The code with every name of its own drawn anew."""
    tree = ast.parse(code)
    nodes = list(ast.walk(tree))
    own = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    own |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    own |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names = [*draw.sample(WORDS, len(WORDS)), *(f"{a}_{b}" for a in WORDS for b in WORDS)]
    new = dict(zip(sorted(own - {"self"}), names, strict=False))
    for node in nodes:
        for field in ("id", "arg", "name"):
            if isinstance(getattr(node, field, None), str) and not isinstance(node, ast.alias):
                old = getattr(node, field)
                setattr(node, field, new.get(old, old))
    return ast.unparse(tree)


def foreign(text: str) -> str:
    """The text in a language that nobody speaks: the same word is the same everywhere."""

    def word(match: re.Match[str]) -> str:
        digest = hashlib.md5(match.group().lower().encode(), usedforsecurity=False).digest()
        n = 2 * max(1, min(4, len(match.group()) // 2))
        return "".join(
            "bdfglmnprstvz"[digest[i] % 13] + "aeiou"[digest[i + 1] % 5] for i in range(0, n, 2)
        )

    return re.sub(r"[A-Za-z]{2,}", word, text)


def translated(problem: Problem) -> str:
    """The task in another language; code and examples stay."""
    if not problem.prompt:
        task, _, example = problem.instruction.partition("For example")
        return f"{foreign(task)} {example.rpartition('assert')[2]}"
    is_code = re.compile(rf"\s*(?:def |import|from|>>>|[\[({{\d'TF-])|.*{problem.entry_point}\(")
    lines = problem.prompt.splitlines()
    return "\n".join(line if is_code.match(line) else foreign(line) for line in lines)


def samples() -> dict[str, str]:
    """A model's own programs, by problem."""
    return {
        str(row["task_id"]): str(row.get("completion") or row.get("solution") or "")
        for path in sorted((DATA / "sc2instruct_evalplus").glob("*.jsonl"))
        for _, row in read_rows(path)
    }


_JS = [
    (r"\bdef (\w+)\((.*?)\).*:$", r"function \1(\2) {"), (r"\bfor (.+?) in (.+):$",
     r"for (const \1 of \2) {"), (r"\b(?:el)?if (.+):$", r"if (\1) {"),
    (r"\bwhile (.+):$", r"while (\1) {"), (r"\belse:$", "else {"), (r"^( *)(\w+) = (.+)$",
     r"\1let \2 = \3;"), (r"^( *)(return\b.*|\w+ [-+*/]= .+)$", r"\1\2;"),
    (r"\bTrue\b", "true"), (r"\bFalse\b", "false"), (r"\bNone\b", "null"), (r"\band\b", "&&"),
    (r"\bor\b", "||"), (r"\bnot ", "!"), (r"==", "==="), (r"\blen\((\w+)\)", r"\1.length"),
    (r"\.append\(", ".push("), (r"\b(max|min|abs)\(", r"Math.\1("), (r"\bstr\(", "String("),
    (r"\bint\(", "parseInt("),
]  # fmt: skip


def typed_over(code: str) -> str:
    """Python as somebody types it over in JavaScript: the same names, the other words."""
    lines: list[str] = []
    for written in code.splitlines():
        line = written
        for pattern, new in _JS:
            line = re.sub(pattern, new, line)
        if not line.startswith(("import", "from")):
            lines.append(line)
            if line.endswith("{"):
                lines.append(" " * (len(line) - len(line.lstrip())) + "}")
    return "\n".join(lines)


def commented(code: str, text: str) -> str:
    """A comment at every other line."""
    lines = code.splitlines()
    return "\n\n".join(f"{x}  # {text}" if i % 2 else x for i, x in enumerate(lines))


def part_of_class(problem: Problem, draw: Draw, row: Row) -> Row:
    """Six tenths of the function's lines in a larger class."""
    lines = bare(problem).splitlines()
    n = max(3, round(len(lines) * 0.6))
    start = draw.randint(1, max(1, len(lines) - n))
    own = textwrap.indent(textwrap.dedent(row["new_code"]), "    ")
    part = textwrap.indent(textwrap.dedent("\n".join(lines[start : start + n])), "        ")
    return {"chosen": f"class Keeper:\n{own}\n    def part(self):\n{part}\n", "rejected": own}


def reordered(problem: Problem, draw: Draw, row: Row) -> Row:
    """Functions from the last to the first, assignments of a function first and mixed."""
    tree = ast.parse(bare(problem))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            first = [one for one in node.body if isinstance(one, ast.Assign)]
            draw.shuffle(first)
            node.body = first + [one for one in node.body if not isinstance(one, ast.Assign)]
    tree.body.reverse()
    return {"chosen": ast.unparse(tree)}


def hinted(problem: Problem, draw: Draw, row: Row) -> Row:
    """Type hints at every parameter, result and assignment."""
    code = re.sub(r"(?m)^( +)(\w+) = ", r"\1\2: object = ", bare(problem))
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = ast.Name("object")
            for one in node.args.args:
                one.annotation = ast.Name(draw.choice(["int", "str", "list"]))
    return {"chosen": ast.unparse(tree)}


class _While(ast.NodeTransformer):
    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        """The loop over an index."""
        self.generic_visit(node)
        name = f"idx{node.lineno}"
        body = ast.parse(
            f"{name}_items = list({ast.unparse(node.iter)})\n{name} = 0\n"
            f"while {name} < len({name}_items):\n"
            f"    {ast.unparse(node.target)} = {name}_items[{name}]\n    {name} += 1"
        ).body
        body[2].body += node.body  # type: ignore[attr-defined]
        return body


def looped(problem: Problem, draw: Draw, row: Row) -> Row:
    """Every for as a while."""
    code = bare(problem)
    if "for " not in code:
        raise ValueError("no loop")
    return {"chosen": ast.unparse(_While().visit(ast.parse(code)))}


def minified(code: str) -> str:
    """One blank a level, none around operators."""
    return re.sub(r" ?([=+\-*/%<>,:()\[\]]) ?", r"\1", code.replace("    ", " "))


def over_turns(problem: Problem, draw: Draw, row: Row) -> Row:
    """The task in three turns with answers between them."""
    words = (problem.prompt or problem.instruction.partition("For example")[0]).split(" ")
    n = max(1, len(words) // 3)
    turns: list[Row] = []
    for start in range(0, len(words), n):
        turns.append({"role": "user", "content": " ".join(words[start : start + n])})
        turns.append({"role": "assistant", "content": draw.choice(["Go on.", "I see. And then?"])})
    return {"instruction": "That is all. Now do it.", "history": tuple(turns)}


def tests_told(problem: Problem, draw: Draw, row: Row) -> Row:
    """Up to six assertions as sentences."""
    tests = problem.tests.replace("candidate", problem.entry_point)
    found = re.findall(r"(?m)assert (.*?) ?== ?(.*?)(?:,\s*['\"].*)?$", tests)[:6]
    if len(found) < 2:
        raise ValueError("few assertions")
    told = (f"{draw.choice(['With', 'For'])} {a} {draw.choice(['we get', 'give'])} {b}."
            for a, b in found)  # fmt: skip
    return {"instruction": "What I want, by example. " + " ".join(told)}


def paraphrased(problem: Problem, draw: Draw) -> str:
    """The task with other words for some, and some left out."""
    words = [SYNONYMS.get(w.lower(), w) for w in prose_of(problem).split() if draw.random() > 0.08]
    return f"{' '.join(words)} The routine is named {problem.entry_point}."


def disguises() -> dict[str, tuple[bool, Disguise]]:
    """By name: whether a program of five lines is needed, and the row's fields."""
    own = samples()
    camel = re.compile(r"(?<=[a-z0-9])_([a-z])")

    def three_quarters(p: Problem, draw: Draw, row: Row) -> Row:
        lines = renamed(bare(p), draw).splitlines()
        kept = "\n".join(lines[: max(4, round(len(lines) * 0.75))])
        return {"chosen": f"{row['new_code']}\n\n{kept}"}

    def camel_case(p: Problem, draw: Draw, row: Row) -> Row:
        code = camel.sub(lambda m: m[1].upper(), bare(p))
        text = foreign("the next step of the work")
        return {"chosen": f'"""{foreign(prose_of(p))}"""\n{commented(code, text)}'}

    return {
        "part in a larger class": (True, part_of_class),
        "renamed": (True, lambda p, d, r: {"chosen": renamed(bare(p), d)}),
        "renamed, reformatted, commented": (True, lambda p, d, r: {
            "chosen": commented(renamed(bare(p), d).replace("    ", "\t"), "as agreed")}),
        "other language, same names": (True, lambda p, d, r: {
            "chosen": typed_over(bare(p)), "language": "javascript"}),
        "translated, a model's own code": (False, lambda p, d, r: {
            "instruction": translated(p), "chosen": own.get(p.id) or "pass"}),
        "own code around": (True, lambda p, d, r: {
            "chosen": f"{r['old_code']}\n\n{bare(p)}\n\n{r['new_code']}"}),
        "prompt only": (False, lambda p, d, r: {
            "instruction": p.prompt or p.instruction.partition("For example")[0]}),
        "tests only": (False, lambda p, d, r: {
            "chosen": p.tests.replace("candidate", p.entry_point), "rejected": "pass"}),
        "fence in prose": (True, lambda p, d, r: {
            "instruction": f"I found this.\n\n```python\n{bare(p)}\n```\nIs it any good?"}),
        "rejected side, with a fault": (True, lambda p, d, r: {
            "rejected": bare(p).replace("<", "<=", 1).replace("+", "-", 1)}),
        "statements reordered": (True, reordered),
        "type hints everywhere": (True, hinted),
        "for to while": (True, looped),
        "reference only": (True, lambda p, d, r: {"chosen": bare(p)}),
        "minified": (True, lambda p, d, r: {"chosen": minified(bare(p))}),
        "split over turns": (False, over_turns),
        "tests as prose": (False, tests_told),
        "camelCase, foreign comments": (True, camel_case),
        "paraphrased, a model's own code": (False, lambda p, d, r: {
            "instruction": paraphrased(p, d), "chosen": own.get(p.id) or bare(p)}),
        "three quarters, renamed": (True, three_quarters),
    }  # fmt: skip


def plants(each: int, seed: int, clean: list[Row]) -> list[tuple[str, Preference]]:
    """`each` rows of every disguise, with its name; the row's id ends in its problem's."""
    problems = [p for name in ("humaneval", "mbpp") for p in load_problems(name, data_dir=DATA)]
    is_long = re.compile(r"(?:(?!import|from).+\n?){5}")
    found: list[tuple[str, Preference]] = []
    for name, (needs_code, disguise) in disguises().items():
        draw = random.Random(f"{name}{seed}")
        n = 0
        for problem in draw.sample(problems, len(problems)):
            row = draw.choice(clean)
            try:
                if needs_code and not is_long.search(bare(problem)):
                    continue
                fields: dict[str, Any] = {
                    "instruction": draw.choice(SAID), "chosen": row["new_code"],
                    "rejected": row["old_code"], **disguise(problem, draw, row),
                }  # fmt: skip
            except (ValueError, SyntaxError):
                continue
            found.append((name, Preference(id=f"{name}|{n}|{problem.id}", **fields)))
            n += 1
            if n == each:
                break
    return found


def main() -> None:
    """Print the table of disguises, then what is found in the clean rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=Path, nargs="+", required=True)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--most", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    given = [row for path in arguments.clean for _, row in read_rows(path)]
    random.Random(arguments.seed).shuffle(given)
    short = [r for r in given if r["language"] == "python" and len(r["new_code"]) < 3000]
    tasks = {name: benchmark_tasks(name, DATA) for name in usual_benchmarks(DATA)}
    background = background_texts()
    rows = plants(arguments.each, arguments.seed, short)
    # The same problems in JavaScript are a benchmark too: without it, what was typed over is told
    # by the Python alone.
    known = {name: found for name, found in tasks.items() if name != "humanevalpack-js"}
    found = decontaminate([row for _, row in rows], known, background=background)
    right = {f.row_id for f in found.findings if f.row_id.endswith(f"|{f.test_id}")}
    for name in disguises():
        ids = [row.id for one, row in rows if one == name]
        n_right = len(right.intersection(ids))
        print(f"{name:<34}{len(found.removed.intersection(ids)):4} of {len(ids):3}  {n_right:4}")
    print(f"{'all':<34}{len(found.removed):4} of {len(rows):3}  {len(right):4}")
    clean = [
        Preference(r["id"], r["message"], r["new_code"], r["old_code"], language=r["language"])
        for r in given[: arguments.most]
    ]
    start = time.process_time()
    alarms = decontaminate(clean, tasks, background=background)
    seconds = time.process_time() - start
    characters = sum(len(row.chosen) + len(row.rejected) for row in clean) // (2 * len(clean))
    print(json.dumps({"clean": len(clean), "found": len(alarms.removed),
                      "cpu_s": round(seconds, 1), "characters_a_program": characters}))  # fmt: skip
    for one in alarms.findings:
        print(f"  {one.row_id[:16]} {one.kind} {one.benchmark} {one.test_id} {one.similarity}")


if __name__ == "__main__":
    main()
