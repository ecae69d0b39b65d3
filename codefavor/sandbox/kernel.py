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
MS_RDONLY, MS_NOSUID, MS_NODEV = 1, 2, 4
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MS_RELATIME = 32, 4096, 16384, 1 << 18, 1 << 21
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_KEEPCAPS = 1, 4, 8
PR_SET_NAME, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 15, 22, 38
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1 << 1, 1 << 2

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


def call(name: str, number: int, *arguments: int | bytes | None) -> int:
    """A system call by its number; raises OSError with its name."""
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _check(_SYSCALL(ctypes.c_long(number), *values), name)


def unshare(flags: int) -> None:
    """Leave the given namespaces for new ones."""
    _check(_LIBC.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter a namespace; one of process ids is for children only."""
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
    call("pivot_root", _PIVOT_ROOT[machine], b".", b".")
    unmount(".")
    os.chdir("/")


def prctl(option: int, value: int) -> None:
    """As prctl(2) with one argument."""
    _check(_PRCTL(option, value, None, 0, 0), f"prctl {option}")


def set_name(name: str) -> None:
    """The name of this process, as `ps` shows it."""
    text = ctypes.create_string_buffer(name.encode())
    prctl(PR_SET_NAME, ctypes.addressof(text))


def held_capabilities() -> int:
    """The capabilities that this process may use."""
    with open("/proc/self/status", encoding="ascii") as handle:
        return next(int(line.split()[1], 16) for line in handle if line.startswith("CapPrm:"))


def set_capabilities(effective: int, kept: int | None = None) -> None:
    """Hold exactly these capabilities (and keep others for later), inherit none."""
    kept = effective if kept is None else kept
    low, high = 0xFFFFFFFF, 32
    data = [effective & low, kept & low, 0, effective >> high, kept >> high, 0]
    header = struct.pack("=Ii", 0x20080522, 0)
    _check(_LIBC.capset(header, struct.pack("=6I", *data)), "capset")


def load_filter(program: bytes) -> None:
    """Put the calling process under a seccomp filter, for good."""
    text = ctypes.create_string_buffer(program, len(program))
    loadable = struct.pack("@HP", len(program) // 8, ctypes.addressof(text))
    _check(_PRCTL(PR_SET_SECCOMP, 2, loadable, 0, 0), "seccomp")
