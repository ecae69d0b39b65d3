"""What the folders of a commit say about a file in them: its licence, and whose code it is."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from codefavor.languages import language_of_path
from codefavor.sources.file_kinds import OUTPUTS
from codefavor.sources.git_log import Entries, Objects
from codefavor.sources.licences import LICENCE_FILE, MANIFESTS, licence_of_files

_VERSION = re.compile(rb"^__(?:version|license)__\s*=", re.MULTILINE)

_PROJECTS = frozenset({
    "package.json", "setup.py", "pyproject.toml", "Cargo.toml", "pom.xml", "build.gradle",
    "CMakeLists.txt", "Makefile", "go.mod", "Gemfile", "composer.json",
})  # fmt: skip


class Folders:
    """Answers about files as they stood at a commit. `default` is the licence where no folder
    states one: that of the newest commit."""

    def __init__(self, objects: Objects, default: str) -> None:
        self._objects = objects
        self._default = default
        self._licence = lru_cache(maxsize=1000)(self._read_licence)
        self._states_version = lru_cache(maxsize=1000)(self._read_version)

    def licence(self, commit: str, path: str) -> str:
        """What the nearest folder above a file states that states a licence."""
        for folder in PurePosixPath(path).parents:
            # Paths end with "." for the root, which git calls "".
            entries = self._objects.tree(f"{commit}:{folder if folder.name else ''}")
            stated = self._licence(_licence_files(entries))
            if stated:
                return stated
        return self._default

    def is_vendored(self, commit: str, path: str) -> bool:
        """Whether a file is in a package inside a Python package that has a version or a licence
        of its own, or beside such ones in a folder of nothing but packages; or in a folder such as
        `dist` beside what a project is built from."""
        is_in_package = False
        for folder in list(PurePosixPath(path).parents)[-2::-1]:
            entries = self._objects.tree(f"{commit}:{folder}")
            if folder.name.lower() in OUTPUTS:
                beside = self._objects.tree(f"{commit}:{folder.parent}")
                if not _PROJECTS.isdisjoint(beside):
                    return True
            if is_in_package and (self._is_foreign(entries) or self._only_holds_foreign(entries)):
                return True
            is_in_package = is_in_package or "__init__.py" in entries
        return False

    def _is_foreign(self, entries: Entries) -> bool:
        if "__init__.py" not in entries:
            return False
        texts = [name for name, _ in _licence_files(entries) if LICENCE_FILE.match(name)]
        return bool(texts) or self._states_version(entries["__init__.py"][1])

    def _only_holds_foreign(self, entries: Entries) -> bool:
        code = [name for name in entries if language_of_path(name)]
        inner = [blob for mode, blob in entries.values() if mode == "40000"]
        return code == ["__init__.py"] and any(
            self._is_foreign(self._objects.tree(name)) for name in inner
        )

    def _read_licence(self, files: tuple[tuple[str, str], ...]) -> str:
        return licence_of_files(
            {
                name: (self._objects.read(blob) or b"").decode("utf-8", "replace")
                for name, blob in files
            }
        )

    def _read_version(self, blob: str) -> bool:
        return bool(_VERSION.search(self._objects.read(blob) or b""))


def _licence_files(entries: Entries) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, blob)
        for name, (mode, blob) in entries.items()
        # `license_gpl.go` is a program that knows of licences.
        if mode.startswith("100")
        and (name in MANIFESTS or (LICENCE_FILE.match(name) and not language_of_path(name)))
    )
