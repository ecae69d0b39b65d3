"""The system-call filter: what a Python program needs is allowed, everything else is refused.

A refused call fails with `REFUSED`, an error number that nothing else gives, so that no error of
the program's own is taken for it. Numbers for x86-64 and aarch64.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping

# An OSError with this number means that the filter refused a call. The kernel and its programs
# use no number from 1,024 to 4,095, and each zygote has another: none can be known beforehand.
REFUSED = 1024 + int.from_bytes(os.urandom(2), "big") % 3072

_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LD, _JEQ, _JGE, _RET, _AND = 0x20, 0x15, 0x35, 0x06, 0x54
_NR, _ARCH_AT, _ARGS = 0, 4, 16
_ANY_PID, _WHOLE = 0x5A5A5A5A, 0xFFFFFFFF

# All that is allowed, some of it within `_conditions`. name: (x86-64, aarch64)
_TABLE = """
read 0 63|write 1 64|open 2 -|close 3 57|stat 4 -|fstat 5 80|lstat 6 -|poll 7 -|lseek 8 62
mmap 9 222|mprotect 10 226|munmap 11 215|brk 12 214|rt_sigaction 13 134|rt_sigprocmask 14 135
rt_sigreturn 15 139|ioctl 16 29|pread64 17 67|pwrite64 18 68|readv 19 65|writev 20 66|access 21 -
pipe 22 -|select 23 -|sched_yield 24 124|mremap 25 216|msync 26 227|mincore 27 232|madvise 28 233
dup 32 23|dup2 33 -|pause 34 -|nanosleep 35 101|getitimer 36 102|alarm 37 -|setitimer 38 103
getpid 39 172|sendfile 40 71|sendto 44 206|recvfrom 45 207|sendmsg 46 211|recvmsg 47 212
shutdown 48 210|getsockname 51 204|getpeername 52 205|socketpair 53 199|setsockopt 54 208
getsockopt 55 209|clone 56 220|exit 60 93|wait4 61 260|kill 62 129|uname 63 160|fcntl 72 25
flock 73 32|fsync 74 82|fdatasync 75 83|truncate 76 45|ftruncate 77 46|getdents 78 -|getcwd 79 17
chdir 80 49|fchdir 81 50|rename 82 -|mkdir 83 -|rmdir 84 -|creat 85 -|link 86 -|unlink 87 -
symlink 88 -|readlink 89 -|chmod 90 -|fchmod 91 52|chown 92 -|fchown 93 55|lchown 94 -|umask 95 166
gettimeofday 96 169|getrlimit 97 163|getrusage 98 165|sysinfo 99 179|times 100 153|getuid 102 174
getgid 104 176|geteuid 107 175|getegid 108 177|getppid 110 173|getpgrp 111 -|getgroups 115 158
getresuid 118 148|getresgid 120 150|getpgid 121 155|getsid 124 156|capget 125 90
rt_sigpending 127 136|rt_sigtimedwait 128 137|rt_sigsuspend 130 133|sigaltstack 131 132|utime 132 -
mknod 133 -|statfs 137 43|fstatfs 138 44|getpriority 140 141|setpriority 141 140
sched_getparam 143 121|sched_getscheduler 145 120|sched_get_priority_max 146 125
sched_get_priority_min 147 126|prctl 157 167|arch_prctl 158 -|setrlimit 160 164|gettid 186 178
readahead 187 213|setxattr 188 5|lsetxattr 189 6|fsetxattr 190 7|getxattr 191 8|lgetxattr 192 9
fgetxattr 193 10|listxattr 194 11|llistxattr 195 12|flistxattr 196 13|removexattr 197 14
lremovexattr 198 15|fremovexattr 199 16|tkill 200 130|time 201 -|futex 202 98
sched_setaffinity 203 122|sched_getaffinity 204 123|epoll_create 213 -|getdents64 217 61
set_tid_address 218 96|restart_syscall 219 128|fadvise64 221 223|timer_create 222 107
timer_settime 223 110|timer_gettime 224 108|timer_getoverrun 225 109|timer_delete 226 111
clock_gettime 228 113|clock_getres 229 114|clock_nanosleep 230 115|exit_group 231 94
epoll_wait 232 -|epoll_ctl 233 21|tgkill 234 131|utimes 235 -|waitid 247 95|openat 257 56
mkdirat 258 34|mknodat 259 33|fchownat 260 54|futimesat 261 -|newfstatat 262 79|unlinkat 263 35
renameat 264 38|linkat 265 37|symlinkat 266 36|readlinkat 267 78|fchmodat 268 53|faccessat 269 48
pselect6 270 72|ppoll 271 73|set_robust_list 273 99|utimensat 280 88
epoll_pwait 281 22|signalfd 282 -|timerfd_create 283 85|eventfd 284 -|fallocate 285 47
timerfd_settime 286 86|timerfd_gettime 287 87|signalfd4 289 74|eventfd2 290 19|epoll_create1 291 20
dup3 292 24|pipe2 293 59|preadv 295 69|pwritev 296 70|prlimit64 302 261|getcpu 309 168
renameat2 316 276|getrandom 318 278|membarrier 324 283|copy_file_range 326 285|preadv2 327 286
pwritev2 328 287|pkey_mprotect 329 288|statx 332 291|rseq 334 293|clone3 435 435
close_range 436 436|openat2 437 437|faccessat2 439 439|epoll_pwait2 441 441|futex_waitv 449 449
fchmodat2 452 452|map_shadow_stack 453 453|futex_wake 454 454|futex_wait 455 455
futex_requeue 456 456
"""
# Later system calls look as they do on a kernel that is too old for them.
_FIRST_UNKNOWN = 457
_XATTRS = [
    f"{who}{what}xattr" for what in ("set", "get", "list", "remove") for who in ("", "l", "f")
]
_INSTEAD = {
    "clone3": errno.ENOSYS,  # libc then uses clone, whose flags can be seen here
    "openat2": errno.ENOSYS,
    # What lies in the page cache outlives a run: advice only seems to be taken, none is told.
    "fadvise64": 0,
    "readahead": 0,
    "mincore": errno.ENOSYS,
    # Landlock does not cover them; shutil takes this answer for a file system without them.
    **dict.fromkeys(_XATTRS, errno.ENOTSUP),
}
_OWNERS = ("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat")
_ASK_ABOUT = ("sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpgid", "getsid")
_TAKE_A_CLOCK = ("clock_gettime", "clock_getres", "clock_nanosleep", "timer_create")
_OLD_TIMES = ("utime", "utimes", "futimesat")
# FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ: asked by honest programs.
_IOCTLS = (0x541B, 0x5421, 0x5451, 0x5450, 0x5401, 0x5413)
# Descriptors, flags, locks and sizes; no owner, signal, lease or notification.
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 36, 37, 38, 1025, 1030, 1032)
# SO_REUSEADDR, KEEPALIVE, LINGER, RCVLOWAT, RCVTIMEO, SNDTIMEO. What waits in a buffer is memory
# that no limit counts: SO_SNDBUF and SO_RCVBUF change nothing.
_SET_OPTIONS = (2, 9, 13, 18, 20, 21)
# And SO_TYPE, ERROR, SNDBUF, RCVBUF, ACCEPTCONN, PROTOCOL, DOMAIN; nothing about the peer.
_GET_OPTIONS = (*_SET_OPTIONS, 3, 4, 7, 8, 30, 38, 39)
# PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ,
# PR_GET_NO_NEW_PRIVS, PR_SET_VMA
_PRCTLS = (2, 3, 15, 16, 23, 39, 0x53564D41)
_CLONE_FILES, _CLONE_THREAD, _CLONE_NEW = 0x00000400, 0x00010000, 0x7E020000
# An access mode and O_TRUNC. Not O_RDONLY|O_TRUNC nor mode 3, which old Landlocks let empty a file.
_OPEN_MASK, _OPENS = 0o1003, (0, 1, 2, 0o1001, 0o1002)
# A clock below 0 is that of a process, unless this bit says that it is one of the own threads.
_CLOCK_MASK, _CLOCKS = 1 << 31 | 4, (0, 4, 1 << 31 | 4)

# (argument, mask, values): the masked low half of the argument is one of the values.
_Condition = tuple[int, int, tuple[int, ...]]


def _conditions(pid: int) -> dict[str, tuple[_Condition, ...]]:
    """When a call is allowed; all of its conditions have to hold."""
    own = ((0, _WHOLE, (pid,)),)
    own_or_0 = ((0, _WHOLE, (0, pid)),)
    own_priority = ((0, _WHOLE, (0,)), (1, _WHOLE, (0, pid)))
    clock = ((0, _CLOCK_MASK, _CLOCKS),)
    thread = _CLONE_THREAD | _CLONE_FILES  # with a table of its own it could hide open files
    return {
        "ioctl": ((1, _WHOLE, _IOCTLS),),
        "fcntl": ((1, _WHOLE, _FCNTLS),),
        "prctl": ((0, _WHOLE, _PRCTLS),),
        "setsockopt": ((1, _WHOLE, (1,)), (2, _WHOLE, _SET_OPTIONS)),
        "getsockopt": ((1, _WHOLE, (1,)), (2, _WHOLE, _GET_OPTIONS)),
        "open": ((1, _OPEN_MASK, _OPENS),),
        "openat": ((2, _OPEN_MASK, _OPENS),),
        **dict.fromkeys(("kill", "tkill", "tgkill"), own),
        # Raising a hard limit takes a capability nobody has here.
        **dict.fromkeys(("prlimit64", "sched_setaffinity", *_ASK_ABOUT), own_or_0),
        **dict.fromkeys(("setpriority", "getpriority"), own_priority),
        **dict.fromkeys(_TAKE_A_CLOCK, clock),
        # What is kept beyond the end of a file, no size and no limit shows.
        "fallocate": ((1, _WHOLE, (0,)),),
        "clone": ((0, thread | _CLONE_NEW, (thread,)),),
        "close_range": ((2, 2, (0,)),),
        # Not RWF_NOWAIT, which tells whether a file lies in the page cache.
        **dict.fromkeys(("preadv2", "pwritev2"), ((5, 8, (0,)),)),
        # A datagram socket could be sent anywhere; a connected stream pair cannot.
        "socketpair": ((0, _WHOLE, (1,)), (1, 0xF, (1,))),
    }


def without_namespaces(landlock: int, *, owns_files: bool) -> dict[str, int]:
    """What to say to calls that reach all files by their path, where Landlock does not see them.

    Where programs could change files of the user (`owns_files`), changes of mode, owner and
    times only seem to succeed; where they have an id that owns nothing, the kernel refuses them.
    """
    answers = dict.fromkeys(_OWNERS, _ERROR) if owns_files else {}
    answers["utimensat"] = _ERROR if owns_files else _ALLOW
    answers.update(dict.fromkeys(_OLD_TIMES, _ERROR | errno.EPERM))
    answers["sendmsg"] = _ERROR | REFUSED  # a file in a message is held where nobody counts it
    if landlock < 3:
        answers["truncate"] = _ERROR | REFUSED
    return answers


def _numbers(machine: str) -> dict[str, int]:
    column = 1 if machine == "x86_64" else 2
    entries = [entry.split() for entry in _TABLE.strip().replace("\n", "|").split("|")]
    return {entry[0]: int(entry[column]) for entry in entries if entry[column] != "-"}


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _check(conditions: tuple[_Condition, ...], holds: int, fails: int) -> list[bytes]:
    ops: list[bytes] = []
    for argument, mask, values in conditions:
        ops += [_op(_LD, _ARGS + 8 * argument), _op(_AND, mask)]
        # A value that fits jumps over those after it and the way out.
        ops += [_op(_JEQ, value, len(values) - i, 0) for i, value in enumerate(values)]
        ops.append(_op(_RET, fails))
    return [*ops, _op(_RET, holds)]


def _search(verdicts: list[int], low: int, high: int) -> list[bytes]:
    """A binary search for the verdict of a number from `low` to below `high`."""
    changes = [n for n in range(low + 1, high) if verdicts[n] != verdicts[n - 1]]
    if not changes:
        return [_op(_RET, verdicts[low])]
    middle = changes[len(changes) // 2]
    below = _search(verdicts, low, middle)
    return [_op(_JGE, middle, len(below), 0), *below, *_search(verdicts, middle, high)]


def build_filter(machine: str, pid: int, answers: Mapping[str, int]) -> bytes:
    """The BPF program for a process with this id in its own pid namespace.

    `answers` are what the filter says to some calls instead (`without_namespaces`).
    """
    numbers = _numbers(machine)
    fixed = {**{name: _ERROR | number for name, number in _INSTEAD.items()}, **answers}
    program = [_op(_LD, _ARCH_AT), _op(_JEQ, _ARCH[machine], 1, 0), _op(_RET, _KILL), _op(_LD, _NR)]
    program += [_op(_JGE, 0x40000000, 0, 1), _op(_RET, _KILL)]  # the x32 interface
    checks = {
        name: _check(conditions, _ALLOW, _ERROR | REFUSED)
        for name, conditions in _conditions(pid).items()
        if name in numbers and name not in fixed
    }
    if "utimensat" in fixed:
        # Without times it needs no more than write access, which Landlock does not see either.
        checks["utimensat"] = _check(((2, _WHOLE, (0,)),), _ERROR | errno.EPERM, fixed["utimensat"])
    # SO_SNDBUF and SO_RCVBUF only seem to be set: the size is behind a pointer.
    seem = [_op(_LD, _ARGS + 16), _op(_JEQ, 7, 1, 0), _op(_JEQ, 8, 0, 1), _op(_RET, _ERROR)]
    checks["setsockopt"] = seem + checks["setsockopt"]
    for name, check in checks.items():
        program += [_op(_JEQ, numbers[name], 0, len(check)), *check]
    verdicts = [_ERROR | REFUSED] * _FIRST_UNKNOWN + [_ERROR | errno.ENOSYS]
    for name, number in numbers.items():
        verdicts[number] = fixed.get(name, _ALLOW)
    return b"".join(program + _search(verdicts, 0, len(verdicts)))


class Filter:
    """The program for any process: built once, and only the process id is filled in later."""

    def __init__(self, machine: str, answers: Mapping[str, int]) -> None:
        self._program = build_filter(machine, _ANY_PID, answers)

    def of(self, pid: int) -> bytes:
        """The program for one process."""
        return self._program.replace(struct.pack("=I", _ANY_PID), struct.pack("=I", pid))
