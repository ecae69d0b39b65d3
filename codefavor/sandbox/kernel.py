"""The few Linux system calls that Python does not offer, through ctypes."""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
CAP_DAC_READ_SEARCH = 2

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSCALL = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
_PRCTL = _LIBC.prctl
_PRCTL.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_ulong]


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _text(value: str | None) -> bytes | None:
    return None if value is None else os.fsencode(value)


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones."""
    _check(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter the namespace of a process (by its pidfd)."""
    _check(_LIBC.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str | None = None
) -> None:
    """As mount(2)."""
    result = _LIBC.mount(
        _text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(options)
    )
    _check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach a mount."""
    _check(_LIBC.umount2(_text(target), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def pivot_root(machine: str) -> None:
    """Make the working directory the root and let go of the old one."""
    here = ctypes.c_char_p(b".")
    _check(_SYSCALL(ctypes.c_long(_PIVOT_ROOT[machine]), here, here), "pivot_root")
    unmount(".")
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """As prctl(2) with one argument."""
    _check(_PRCTL(option, value, None, 0, 0), f"prctl {option}")


def set_capabilities(bits: int) -> None:
    """Hold exactly these capabilities, inherit none."""
    header = struct.pack("=Ii", 0x20080522, 0)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    _check(_LIBC.capset(header, data), "capset")


def make_filter(program: bytes) -> tuple[bytes, object]:
    """A seccomp program in the form that `load_filter` takes, and the memory it points to."""
    text = ctypes.create_string_buffer(program, len(program))
    return struct.pack("@HP", len(program) // 8, ctypes.addressof(text)), text


def load_filter(made: tuple[bytes, object]) -> None:
    """Install a seccomp filter on the calling process."""
    _check(_PRCTL(PR_SET_SECCOMP, 2, made[0], 0, 0), "seccomp")


def landlock_abi() -> int:
    """The version of Landlock this kernel has; 0 without."""
    result: int = _SYSCALL(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return max(result, 0)


def landlock_create(attributes: bytes) -> int:
    """A descriptor of a new, empty rule set."""
    size = ctypes.c_size_t(len(attributes))
    return _check(
        _SYSCALL(ctypes.c_long(444), attributes, size, ctypes.c_uint(0)), "landlock_create_ruleset"
    )


def landlock_allow(ruleset: int, access: int, parent_fd: int) -> None:
    """Allow `access` beneath a directory (or on a file)."""
    rule = struct.pack("=Qi", access, parent_fd)
    result = _SYSCALL(
        ctypes.c_long(445), ctypes.c_int(ruleset), ctypes.c_int(1), rule, ctypes.c_uint(0)
    )
    _check(result, "landlock_add_rule")


def landlock_restrict(ruleset: int) -> None:
    """Put the calling thread under the rule set, for good."""
    _check(
        _SYSCALL(ctypes.c_long(446), ctypes.c_int(ruleset), ctypes.c_uint(0)),
        "landlock_restrict_self",
    )
