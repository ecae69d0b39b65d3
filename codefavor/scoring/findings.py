"""What Bandit finds in a Python program: known patterns of insecure code, by severity."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from codefavor.errors import MissingPackageError
from codefavor.records import Row

SEVERITIES = ("HIGH", "MEDIUM", "LOW")


@dataclass(frozen=True)
class Finding:
    """One finding: Bandit's test (`B602`), where, how bad and how sure."""

    test: str
    line: int
    severity: str
    confidence: str
    text: str

    def to_row(self) -> Row:
        """The plain JSON form."""
        return asdict(self)


class Bandit:
    """Bandit in this process; it reads programs and never runs them."""

    def __init__(self) -> None:
        # Before the import, which logs each optional report format that is not installed.
        for name in ("bandit", "stevedore"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            import bandit
            from bandit.core import config, manager
        except ImportError as error:
            raise MissingPackageError(
                error.name or "bandit", "verify", "findings of insecure code"
            ) from error
        self.version: str = bandit.__version__
        self._manager = manager.BanditManager
        self._config = config.BanditConfig()

    def find(self, code: str) -> list[Finding] | None:
        """What it finds in a program, in the order of the lines. `# nosec` does not count.

        None where it cannot read what Python runs (`# coding: utf-16`): that is not no finding.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "program.py"
            path.write_text(code, encoding="utf-8", errors="replace")
            run = self._manager(self._config, "file", quiet=True, ignore_nosec=True)
            run.discover_files([str(path)])
            run.run_tests()
            issues = run.get_issue_list()
            if run.get_skipped():
                return None
        found = [
            Finding(issue.test_id, issue.lineno, issue.severity, issue.confidence, issue.text)
            for issue in issues
        ]
        return sorted(found, key=lambda one: (one.line, one.test))


def badness(findings: list[Finding]) -> tuple[int, ...]:
    """Findings of high, medium and low severity: the larger tuple is the less secure program."""
    return tuple(sum(one.severity == level for one in findings) for level in SEVERITIES)
