"""Landlock rule sets: read these paths, write only the work directory, no TCP, no signals."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from codefavor.sandbox import kernel

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE = 1 << 4, 1 << 5
_MAKE_CHAR, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK = 1 << 6, 1 << 7, 1 << 8, 1 << 9
_MAKE_FIFO, _MAKE_BLOCK, _MAKE_SYM = 1 << 10, 1 << 11, 1 << 12
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BASE = (1 << 13) - 1
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV


def _handled(abi: int) -> int:
    access = _BASE
    if abi >= 2:
        access |= _REFER
    if abi >= 3:
        access |= _TRUNCATE
    if abi >= 5:
        access |= _IOCTL_DEV
    return access


def make_ruleset(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> int:
    """A descriptor of the rule set; raises OSError where the kernel has no Landlock."""
    abi = kernel.landlock_abi()
    handled = _handled(abi)
    network = 3 if abi >= 4 else 0
    scoped = 3 if abi >= 6 else 0
    attributes = struct.pack("=QQQ", handled, network, scoped)
    ruleset = kernel.landlock_create(attributes[: 8 if abi < 4 else 16 if abi < 6 else 24])
    work = handled & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _IOCTL_DEV)
    rules = [
        *((path, _READ_FILE | _READ_DIR) for path in readable),
        *((path, work) for path in writable),
        *((path, _READ_FILE | _WRITE_FILE) for path in devices),
    ]
    for path, access in rules:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            mode = os.fstat(fd).st_mode
            is_directory = (mode & 0o170000) == 0o040000
            kernel.landlock_allow(ruleset, access if is_directory else access & _ON_FILES, fd)
        finally:
            os.close(fd)
    return ruleset
