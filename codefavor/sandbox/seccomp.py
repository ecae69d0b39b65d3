"""The system-call filter: what a Python program needs is allowed, everything else is refused.

A refused call fails with EPERM. Numbers for x86-64 and aarch64; None where an architecture
does not have the call.
"""

from __future__ import annotations

import struct

from codefavor.sandbox import kernel

_ALLOW, _REFUSE, _ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
_PRETEND, _KILL = 0x00050000, 0x80000000
_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LD, _JEQ, _JGE, _RET, _AND = 0x20, 0x15, 0x35, 0x06, 0x54
_NR, _ARCH_AT, _ARGS = 0, 4, 16
_ANY_PID = 0x5A5A5A5A
_CLONE_THREAD, _CLONE_NEW = 0x00010000, 0x7E020000

# name: (x86-64, aarch64)
_TABLE = """
read 0 63|write 1 64|open 2 -|close 3 57|stat 4 -|fstat 5 80|lstat 6 -|poll 7 -|lseek 8 62
mmap 9 222|mprotect 10 226|munmap 11 215|brk 12 214|rt_sigaction 13 134|rt_sigprocmask 14 135
rt_sigreturn 15 139|pread64 17 67|pwrite64 18 68|readv 19 65|writev 20 66|access 21 -|pipe 22 -
select 23 -|sched_yield 24 124|mremap 25 216|msync 26 227|mincore 27 232|madvise 28 233
dup 32 23|dup2 33 -|pause 34 -|nanosleep 35 101|getitimer 36 102|alarm 37 -|setitimer 38 103
getpid 39 172|sendfile 40 71|sendto 44 206|recvfrom 45 207|sendmsg 46 211|recvmsg 47 212
shutdown 48 210|getsockname 51 204|getpeername 52 205|setsockopt 54 208|getsockopt 55 209
exit 60 93|wait4 61 260|uname 63 160|fcntl 72 25|flock 73 32|fsync 74 82|fdatasync 75 83
truncate 76 45|ftruncate 77 46|getdents 78 -|getcwd 79 17|chdir 80 49|fchdir 81 50|rename 82 -
mkdir 83 -|rmdir 84 -|creat 85 -|link 86 -|unlink 87 -|symlink 88 -|readlink 89 -|umask 95 166
gettimeofday 96 169|getrlimit 97 163|getrusage 98 165|sysinfo 99 179|times 100 153|getuid 102 174
getgid 104 176|geteuid 107 175|getegid 108 177|getppid 110 173|getpgrp 111 -|getgroups 115 158
getresuid 118 148|getresgid 120 150|getpgid 121 155|getsid 124 156|capget 125 90
rt_sigpending 127 136|rt_sigtimedwait 128 137|rt_sigsuspend 130 133|sigaltstack 131 132
statfs 137 43|fstatfs 138 44|sched_getparam 143 121|sched_getscheduler 145 120
sched_get_priority_max 146 125|sched_get_priority_min 147 126|arch_prctl 158 -|setrlimit 160 164
gettid 186 178|readahead 187 213|getxattr 191 8|lgetxattr 192 9|fgetxattr 193 10|listxattr 194 11
llistxattr 195 12|flistxattr 196 13|time 201 -|futex 202 98|sched_getaffinity 204 123
epoll_create 213 -|getdents64 217 61|set_tid_address 218 96|restart_syscall 219 128
fadvise64 221 223|timer_create 222 107|timer_settime 223 110|timer_gettime 224 108
timer_getoverrun 225 109|timer_delete 226 111|clock_gettime 228 113|clock_getres 229 114
clock_nanosleep 230 115|exit_group 231 94|epoll_wait 232 -|epoll_ctl 233 21|waitid 247 95
openat 257 56|mkdirat 258 34|newfstatat 262 79|unlinkat 263 35|renameat 264 38|linkat 265 37
symlinkat 266 36|readlinkat 267 78|faccessat 269 48|pselect6 270 72|ppoll 271 73
set_robust_list 273 99|get_robust_list 274 100|epoll_pwait 281 22|signalfd 282 -
timerfd_create 283 85|eventfd 284 -|fallocate 285 47|timerfd_settime 286 86
timerfd_gettime 287 87|signalfd4 289 74|eventfd2 290 19|epoll_create1 291 20|dup3 292 24
pipe2 293 59|preadv 295 69|pwritev 296 70|getcpu 309 168|renameat2 316 276|getrandom 318 278
membarrier 324 283|copy_file_range 326 285|preadv2 327 286|pwritev2 328 287|pkey_mprotect 329 288
statx 332 291|rseq 334 293|close_range 436 436|faccessat2 439 439|epoll_pwait2 441 441
futex_waitv 449 449|map_shadow_stack 453 453|futex_wake 454 454|futex_wait 455 455
futex_requeue 456 456
"""
# Harmless where nothing else is mounted; elsewhere they could reach files of the user.
_METADATA = """
chmod 90 -|fchmod 91 52|chown 92 -|fchown 93 55|lchown 94 -|utime 132 -|mknod 133 -|utimes 235 -
mknodat 259 33|fchownat 260 54|futimesat 261 -|fchmodat 268 53|utimensat 280 88|fchmodat2 452 452
"""
_SPECIAL = """
ioctl 16 29|socketpair 53 199|clone 56 220|kill 62 129|prctl 157 167|tkill 200 130|tgkill 234 131
prlimit64 302 261|clone3 435 435|openat2 437 437
"""
# FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ: asked by honest programs.
_IOCTLS = (0x541B, 0x5421, 0x5451, 0x5450, 0x5401, 0x5413)
# PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_CAPBSET_READ, PR_SET_VMA
_PRCTLS = (2, 3, 15, 16, 23, 0x53564D41)


def _numbers(table: str, machine: str) -> dict[str, int]:
    column = 1 if machine == "x86_64" else 2
    found: dict[str, int] = {}
    for entry in table.replace("\n", "|").split("|"):
        parts = entry.split()
        if parts and parts[column] != "-":
            found[parts[0]] = int(parts[column])
    return found


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _returns_on(values: tuple[int, ...], argument: int) -> list[bytes]:
    """Allow if the low half of an argument is one of the values, refuse otherwise."""
    ops = [_op(_LD, _ARGS + 8 * argument)]
    for i, value in enumerate(values):
        ops.append(_op(_JEQ, value, len(values) - i, 0))
    return [*ops, _op(_RET, _REFUSE), _op(_RET, _ALLOW)]


def _special_cases(pid: int) -> dict[str, list[bytes]]:
    refuse, allow = _op(_RET, _REFUSE), _op(_RET, _ALLOW)
    return {
        "ioctl": _returns_on(_IOCTLS, 1),
        "prctl": _returns_on(_PRCTLS, 0),
        "kill": _returns_on((pid,), 0),
        "tgkill": _returns_on((pid,), 0),
        "tkill": _returns_on((pid,), 0),
        "clone3": [_op(_RET, _ENOSYS)],  # libc then uses clone, whose flags can be seen here
        "openat2": [_op(_RET, _ENOSYS)],
        "clone": [
            _op(_LD, _ARGS),
            _op(_AND, _CLONE_THREAD | _CLONE_NEW),
            _op(_JEQ, _CLONE_THREAD, 1, 0),
            refuse,
            allow,
        ],
        # A datagram socket could be sent anywhere; a connected stream pair cannot.
        "socketpair": [
            _op(_LD, _ARGS),
            _op(_JEQ, 1, 0, 3),
            _op(_LD, _ARGS + 8),
            _op(_AND, 0xF),
            _op(_JEQ, 1, 1, 0),
            refuse,
            allow,
        ],
        # Only the own process; raising a hard limit takes a capability nobody has here.
        "prlimit64": [_op(_LD, _ARGS), _op(_JEQ, 0, 2, 0), _op(_JEQ, pid, 1, 0), refuse, allow],
    }


def _tree(bounds: list[int], verdicts: list[bool], low: int, high: int) -> list[bytes]:
    """Binary search over sorted bounds; `verdicts[i]` holds below bounds[i]."""
    if low == high:
        return [_op(_RET, _ALLOW if verdicts[low] else _REFUSE)]
    middle = (low + high) // 2
    left = _tree(bounds, verdicts, low, middle)
    right = _tree(bounds, verdicts, middle + 1, high)
    return [_op(_JGE, bounds[middle], len(left), 0), *left, *right]


def _allowed_tree(numbers: set[int]) -> list[bytes]:
    bounds: list[int] = []
    verdicts: list[bool] = []
    for number in range(max(numbers) + 2):
        if (number in numbers) != (number - 1 in numbers):
            verdicts.append(number - 1 in numbers)
            bounds.append(number)
    verdicts.append(False)
    return _tree(bounds, verdicts, 0, len(bounds))


def build_filter(machine: str, pid: int, *, pretend_metadata: bool) -> bytes:
    """The BPF program for a process with this id in its own pid namespace.

    With `pretend_metadata`, chmod and its like do nothing and succeed: without a mount
    namespace they could reach files outside the work directory.
    """
    allowed = _numbers(_TABLE, machine)
    metadata = _numbers(_METADATA, machine)
    special = _numbers(_SPECIAL, machine)
    if not pretend_metadata:
        allowed.update(metadata)
        metadata = {}
    program = [_op(_LD, _ARCH_AT), _op(_JEQ, _ARCH[machine], 1, 0), _op(_RET, _KILL), _op(_LD, _NR)]
    program += [_op(_JGE, 0x40000000, 0, 1), _op(_RET, _KILL)]
    cases = _special_cases(pid)
    for name, number in sorted(special.items(), key=lambda item: item[1]):
        program += [_op(_JEQ, number, 0, len(cases[name])), *cases[name]]
    for number in sorted(metadata.values()):
        program += [_op(_JEQ, number, 0, 1), _op(_RET, _PRETEND)]
    if pretend_metadata:
        # Before its third version Landlock let O_RDONLY|O_TRUNC empty a file.
        case = [
            _op(_LD, _ARGS + 16),
            _op(_AND, 0o1003),
            _op(_JEQ, 0o1000, 0, 1),
            _op(_RET, _REFUSE),
            _op(_LD, _NR),
        ]
        program += [_op(_JEQ, allowed["openat"], 0, len(case)), *case]
    program += _allowed_tree(set(allowed.values()))
    return b"".join(program)


class Filter:
    """The program for any process: built once, and only the process id is filled in later."""

    def __init__(self, machine: str, *, pretend_metadata: bool) -> None:
        program = build_filter(machine, _ANY_PID, pretend_metadata=pretend_metadata)
        self._program = bytearray(program)
        mark = struct.pack("=I", _ANY_PID)
        self._places = [at for at in range(0, len(program), 4) if program[at : at + 4] == mark]
        self._pid = _ANY_PID
        self.prepare(1)

    def prepare(self, pid: int) -> None:
        """Fill in the process id; that of a process alone in its namespace is always 1."""
        if pid != self._pid:
            self._pid = pid
            for place in self._places:
                self._program[place : place + 4] = struct.pack("=I", pid)
            self._loadable = kernel.make_filter(bytes(self._program))

    def load(self, pid: int) -> None:
        """Put the calling process, which has this id, under the filter for good."""
        self.prepare(pid)
        kernel.load_filter(self._loadable)
