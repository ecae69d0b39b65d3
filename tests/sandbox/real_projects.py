"""Test files of real projects: pytest's own verdict beside the together lane's.

    python -m tests.sandbox.real_projects FOLDER [--no-sandbox]

FOLDER holds unpacked source distributions of pure-Python projects with their tests. The program
of a test file is the whole package as one text, which brings an importer with it and binds what
the tests import; the tests are the file, with those imports from `solution`. A file counts if
pytest says the same of it there as in its project.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.sandbox.beside import Beside, Layout, run_beside

_IMPORTER = '''\
import importlib.abc
import importlib.util
import sys

SOURCES = {sources!r}


class SourceImporter(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds the modules of the package in SOURCES."""

    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
        return None

    def get_source(self, name):
        return SOURCES[name][1]

    def is_package(self, name):
        return SOURCES[name][0]


sys.meta_path.insert(0, SourceImporter())
'''


class TestFile(NamedTuple):
    """One test file of a project, and what makes it run alone."""

    project: Path
    path: Path
    program: str
    tests: str

    __test__ = False

    @property
    def name(self) -> str:
        return f"{self.project.name}/{self.path.relative_to(self.project)}"


def find_test_files(folder: Path) -> Iterator[TestFile]:
    """Every test file below the projects of the folder, by name."""
    for project in sorted(path for path in folder.iterdir() if path.is_dir()):
        sources = _sources(project)
        importer = _IMPORTER.format(sources=sources)
        for path in sorted(project.rglob("test_*.py")):
            package = ".".join(path.parent.relative_to(_root(project, path)).parts)
            imports, tests = _cut_imports(path.read_text(), package, sources)
            program = "\n".join([importer, *imports, ""])
            yield TestFile(project, path, program, tests)


def _cut_imports(
    text: str, package: str, sources: dict[str, tuple[bool, str]]
) -> tuple[list[str], str]:
    """The imports of the project's own modules, and the text with them taken from `solution`."""
    own = {name.split(".")[0] for name in sources}
    lines = text.splitlines()
    imports = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                node.module = ".".join(filter(None, [package, node.module]))
                node.level = 0
            roots = {(node.module or "").split(".")[0]}
            bound = [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            roots = {alias.name.split(".")[0] for alias in node.names}
            bound = [alias.asname or alias.name.split(".")[0] for alias in node.names]
        else:
            continue
        if roots <= own:
            imports.append(ast.unparse(node))
            start, end = node.lineno - 1, node.end_lineno or node.lineno
            indent = lines[start][: node.col_offset]
            kept = [f"{indent}from solution import {', '.join(dict.fromkeys(bound))}"]
            lines[start:end] = kept + [""] * (end - start - 1)
    return imports, "\n".join(lines) + "\n"


def _root(project: Path, path: Path) -> Path:
    source = project / "src"
    return source if source in path.parents else project


def _sources(project: Path) -> dict[str, tuple[bool, str]]:
    sources = {}
    for root in (project / "src", project):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            has_package = (root / parts[0] / "__init__.py").exists()
            if not has_package or path.name.startswith("test_") or name in sources:
                continue
            sources[name] = (is_package, path.read_text())
    return sources


def run_in_project(file: TestFile) -> Beside:
    """Real pytest in the project's own folder, in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{file.project / 'src'}{os.pathsep}{file.project}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
        subprocess.run(
            [*command, f"--rootdir={file.project}", f"--junitxml={report}", str(file.path)],
            cwd=file.project,
            env=environment,
            capture_output=True,
            check=False,
            timeout=300,
        )
        if not report.exists():
            return Beside(0, 1, 0, "no report")
        suite = ElementTree.parse(report).getroot()[0]
    total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return Beside(total - failed - skipped, failed, skipped, "")


def _verdict(beside: Beside) -> str:
    word = "green" if beside.is_green else "red"
    return f"{word} {beside.passed}+{beside.failed}-{beside.skipped}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-sandbox", action="store_true", help="pytest's verdicts only")
    arguments = parser.parse_args()
    n_files = n_same = n_agree = 0
    pool = None
    if not arguments.no_sandbox:
        from codefavor.sandbox import Limits, SandboxPool

        pool = SandboxPool(workers=1, accept="together")
        limits = Limits(cpu_s=60.0, wall_s=120.0)
    print("test file | pytest in the project | pytest on one text | together lane")
    for file in find_test_files(arguments.folder.resolve()):
        n_files += 1
        there = run_in_project(file)
        alone = run_beside(file.program, file.tests, Layout.TWO_FILES)
        is_same = there.is_green == alone.is_green and there.passed == alone.passed
        n_same += is_same
        line = f"{file.name} | {_verdict(there)} | {_verdict(alone)}"
        if pool is not None and is_same:
            result = pool.run(file.program, file.tests, limits)
            is_agreed = (result.outcome == "passed") == there.is_green
            n_agree += is_agreed
            line += f" | {result.outcome} {result.passed}/{result.total} {result.trust}"
            line += "" if is_agreed else f" DISAGREES {result.error:.300}"
        print(
            line if is_same else f"{line} | does not stand alone: {alone.text[-200:]!r}", flush=True
        )
    if pool is not None:
        pool.close()
        print(f"the together lane agrees with pytest on {n_agree} of {n_same}")
    print(f"{n_same} of {n_files} files stand alone")


if __name__ == "__main__":
    main()
