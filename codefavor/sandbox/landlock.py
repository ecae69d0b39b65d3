"""Landlock rule sets: read these paths, write only the work directory, no TCP, no signals."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping

from codefavor.sandbox import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST = (1 << 13) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
READ, DEVICE = _READ_FILE | _READ_DIR, _READ_FILE | _WRITE_FILE
# Everything in a directory but programs, devices and sockets; no version has more rights.
WRITE = (1 << 16) - 1 & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV)


def newest_version() -> int:
    """The version of Landlock that this kernel has; 0 without."""
    try:
        return kernel.call("landlock", _CREATE, None, 0, 1)
    except OSError:
        return 0


def make_ruleset(version: int, access_of: Mapping[str, int]) -> int:
    """A descriptor of a rule set with what this version can restrict: {path: its rights}."""
    handled = _FIRST
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if version >= since else 0
    # From version 4 on TCP, from 6 on abstract sockets and signals: none are allowed.
    attributes = struct.pack("=QQQ", handled, 3, 3)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    ruleset = kernel.call("landlock_create_ruleset", _CREATE, attributes, len(attributes), 0)
    for path, access in access_of.items():
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            possible = handled if stat.S_ISDIR(os.fstat(fd).st_mode) else handled & _ON_FILES
            rule = struct.pack("=Qi", access & possible, fd)
            kernel.call("landlock_add_rule", _ADD, ruleset, 1, rule, 0)
        finally:
            os.close(fd)
    return ruleset


def restrict(ruleset: int) -> None:
    """Put the calling thread under the rule set, for good."""
    kernel.call("landlock_restrict_self", _RESTRICT, ruleset, 0)
