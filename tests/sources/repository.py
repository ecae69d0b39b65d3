"""A real git repository in a temporary folder, commit by commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

MIT = """MIT License

Copyright (c) the authors

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""
AUTHOR = ("-c", "user.name=Edda Sailor", "-c", "user.email=edda@harbour.example")


class Repo:
    """`commit` writes files (None removes one) and returns the hash of the commit."""

    def __init__(self, folder: Path, licence: str = MIT) -> None:
        self.folder = folder
        self._n = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        if licence:
            self.commit("Start with a licence", {"LICENSE": licence})

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        self._n += 1
        # A fixed clock: hashes and the order of the log are the same in every run.
        stamp = f"{1_700_000_000 + 60 * self._n} +0000"
        done = subprocess.run(
            [
                "env", "-u", "GIT_DIR", f"GIT_AUTHOR_DATE={stamp}", f"GIT_COMMITTER_DATE={stamp}",
                "git", "-C", str(self.folder), *AUTHOR, "-c", "commit.gpgsign=false",
                "-c", "protocol.file.allow=always", *arguments,
            ],
            check=True, capture_output=True, text=True, input=stdin,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self, message: str, files: dict[str, str | bytes | None] | None = None) -> str:
        for name, text in (files or {}).items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            elif isinstance(text, bytes):
                path.write_bytes(text)
            else:
                path.write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-F", "-", stdin=message)
        return self.git("rev-parse", "HEAD")
