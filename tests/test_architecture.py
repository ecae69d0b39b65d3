"""The plan of the house, enforced: imports go down the floors, sizes stay readable."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "codefavor"
DRAWING = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
DRAWING = DRAWING.partition("```floors\n")[2].partition("```")[0]
FLOORS = {name: int(floor) for floor, name in re.findall(r"^ *(\d+) (\w+)", DRAWING, re.MULTILINE)}
# Siblings that may know each other.
DRAWN = set(re.findall(r"(\w+) > (\w+)", DRAWING))
# Variables of other systems, read where these are called.
ENVIRONMENT = {
    "hub.py": {"HF_HUB_OFFLINE"},
    "backends/anthropic_api.py": {"ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"},
    "backends/bedrock.py": {"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION", "AWS_ROLE_ARN"},
    "backends/embedded.py": {"XDG_CACHE_HOME"},
    "backends/gemini.py": {"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"},
    "backends/openai_api.py": {"OPENAI_BASE_URL", "OPENAI_API_KEY"},
    "sandbox/worker.py": {"LD_LIBRARY_PATH"},
    "training/check.py": {"AXOLOTL_DO_NOT_TRACK"},
    "training/machine.py": {"CUDA_VISIBLE_DEVICES"},
    "training/plugins.py": {"WATCH_VARIABLE", "ACCELERATE_USE_CPU", "RANK"},
    "training/preflight.py": {"HF_HUB_OFFLINE"},
    "training/preview.py": {"AXOLOTL_DO_NOT_TRACK"},
}
# These give it to other processes, or change it inside the sandbox.
WHOLE_ENVIRONMENT = {
    "training/forks.py",
    "training/plan.py",
    "sandbox/selftest.py",
    "sandbox/jail.py",
    "sandbox/script.py",
    "sandbox/together.py",
    "scoring/suite_pytest.py",
}
HEAVY = {"torch", "transformers", "openai", "boto3", "ray", "anthropic", "google.genai", "axolotl"}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        found |= {name.split(".")[1] for name in names if name.startswith("codefavor.")}
    return found


def test_the_drawing_shows_the_package_as_it_is():
    """Every folder and file at the top of the package is drawn, and nothing else."""
    made = {one.name.removesuffix(".py") for one in PACKAGE.iterdir() if one.name != "_shipped"}
    assert FLOORS.keys() == made - {"__init__", "__pycache__", "py.typed"}
    used = {(part_of(path), other) for path in FILES for other in imported_parts(path)}
    assert used >= DRAWN, f"drawn, and used by nothing: {DRAWN - used}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_the_floors(path):
    own = part_of(path)
    if own == "__init__":
        return
    for other in imported_parts(path) - {own}:
        is_down = FLOORS[other] < FLOORS[own]
        assert is_down or (own, other) in DRAWN, f"{own} must not import {other}"


def test_the_package_is_one_folder_deep():
    assert all(len(path.relative_to(PACKAGE).parts) <= 2 for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_readable(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            n_lines = (node.end_lineno or 0) - node.lineno + 1
            assert n_lines <= 60, f"{node.name} has {n_lines} lines"
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names)


def test_importing_the_package_brings_in_nothing_heavy():
    code = (
        "import sys, codefavor; all(getattr(codefavor, name) for name in codefavor.__all__); "
        f"print([m for m in {sorted(HEAVY)} if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_datasets_is_never_a_package():
    # It would shadow the Hugging Face package in every process started from the root.
    root = PACKAGE.parent
    assert not list((root / "datasets").rglob("__init__.py"))


def test_only_the_command_line_prints():
    for path in FILES:
        if part_of(path) in ("cli", "__main__"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                # The protocol of the sandbox's own processes has a `print` to speak over.
                is_ours = node.func.id == "print" and part_of(path) != "sandbox"
                assert not is_ours, f"{path} prints"


def environment_reads(tree):
    """The name of each variable that is read or set, "*" for the environment as a whole."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")):
            continue
        use = parents[node]
        if isinstance(use, ast.Attribute):
            use = parents[use]
        found = next(iter(use.args), None) if isinstance(use, ast.Call) else None
        if isinstance(use, ast.Subscript):
            found = use.slice
        if isinstance(use, ast.Compare):
            found = use.left
        yield str(getattr(found, "value", None) or getattr(found, "id", None) or "*")


def test_the_environment_is_read_by_the_doors_and_where_another_system_is_called():
    for path in FILES:
        name = str(path.relative_to(PACKAGE))
        if part_of(path) in ("cli", "settings") or name in WHOLE_ENVIRONMENT:
            continue
        found = set(environment_reads(ast.parse(path.read_text(encoding="utf-8"))))
        assert found == ENVIRONMENT.get(name, set()), f"{name} reads {sorted(found)}"


def test_nothing_is_read_from_the_environment_at_import():
    for path in FILES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                assert not list(environment_reads(node)), f"{path}:{node.lineno}"


def test_a_broad_except_says_why():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            # That none is bare is ruff's to check.
            is_broad = isinstance(node, ast.ExceptHandler) and (
                getattr(node.type, "id", "") in ("Exception", "BaseException")
            )
            if is_broad:
                around = "\n".join(lines[node.lineno - 2 : node.lineno + 2])
                assert "#" in around, f"{path}:{node.lineno}: a broad except without a reason"


def test_no_modules_import_each_other_in_a_circle():
    """Imports for type checking count too: two modules that name each other are one."""
    # The package itself only hands names on, when somebody asks for them.
    known = {module_name(path) for path in FILES} - {PACKAGE.name}
    imports = {module_name(path): imported_modules(path, known) for path in FILES}
    done: set[str] = set()

    def visit(module: str, chain: tuple[str, ...]) -> None:
        assert module not in chain, f"a circle: {' -> '.join([*chain, module])}"
        if module not in done:
            for other in sorted(imports[module]):
                visit(other, (*chain, module))
            done.add(module)

    for module in imports:
        visit(module, ())


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path: Path, known: set[str]) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            # From a folder either its modules are taken or what it re-exports.
            found |= inner & known or {node.module}
    return (found & known) - {module_name(path)}


def test_one_predicate_reads_a_run_as_a_pass():
    # `Execution.is_evidence_of_pass` alone knows who could have influenced a verdict.
    for path in FILES:
        if part_of(path) in ("sandbox", "records"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Compare):
                continue
            sides = [node.left, *node.comparators]
            texts = {side.value for side in sides if isinstance(side, ast.Constant)}
            reads = "passed" in texts and "outcome" in ast.unparse(node)
            assert not reads, f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_the_sandbox_can_be_used_alone():
    allowed = ("codefavor.sandbox", "codefavor.errors", "codefavor.records")
    for path in FILES:
        if part_of(path) != "sandbox":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("codefavor"):
                assert node.module.startswith(allowed), f"{path} imports {node.module}"
