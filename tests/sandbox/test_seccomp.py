"""The system-call filter, executed here for both architectures, and the numbers it is made of.

The aarch64 numbers were copied by hand from the kernel's include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest

from codefavor.sandbox import SandboxPool, seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN_PID = 4321

GENERIC = """
5 setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
14 removexattr lremovexattr fremovexattr
17 getcwd
19 eventfd2 epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl
29 ioctl
32 flock mknodat mkdirat unlinkat symlinkat linkat renameat
43 statfs fstatfs truncate ftruncate fallocate faccessat chdir fchdir chroot fchmod fchmodat
54 fchownat fchown openat close vhangup pipe2 quotactl getdents64 lseek read write readv writev
67 pread64 pwrite64 preadv pwritev sendfile pselect6 ppoll signalfd4 vmsplice splice tee
78 readlinkat newfstatat fstat sync fsync fdatasync sync_file_range
85 timerfd_create timerfd_settime timerfd_gettime utimensat acct capget capset personality exit
94 exit_group waitid set_tid_address unshare futex set_robust_list get_robust_list nanosleep
102 getitimer setitimer kexec_load init_module delete_module timer_create timer_gettime
109 timer_getoverrun timer_settime timer_delete clock_settime clock_gettime clock_getres
115 clock_nanosleep syslog ptrace sched_setparam sched_setscheduler sched_getscheduler
121 sched_getparam sched_setaffinity sched_getaffinity sched_yield sched_get_priority_max
126 sched_get_priority_min sched_rr_get_interval restart_syscall kill tkill tgkill sigaltstack
133 rt_sigsuspend rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo
139 rt_sigreturn setpriority getpriority reboot setregid setgid setreuid setuid setresuid
148 getresuid setresgid getresgid setfsuid setfsgid times setpgid getpgid getsid setsid
158 getgroups setgroups uname sethostname setdomainname getrlimit setrlimit getrusage umask
167 prctl getcpu gettimeofday settimeofday adjtimex getpid getppid getuid geteuid getgid
177 getegid gettid sysinfo
198 socket socketpair bind listen accept connect getsockname getpeername sendto recvfrom
208 setsockopt getsockopt shutdown sendmsg recvmsg readahead brk munmap mremap add_key
218 request_key keyctl clone execve mmap fadvise64 swapon swapoff mprotect msync
232 mincore madvise
260 wait4 prlimit64
276 renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2
285 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents rseq
435 clone3 close_range openat2 pidfd_getfd faccessat2 process_madvise epoll_pwait2
449 futex_waitv
452 fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue
"""
# Calls that no program under test may make.
DANGEROUS = {
    "x86_64": {
        "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "fork": 57,
        "vfork": 58, "execve": 59, "shmget": 29, "semget": 64, "msgget": 68, "ptrace": 101,
        "setuid": 105, "pivot_root": 155, "chroot": 161, "mount": 165, "sethostname": 170,
        "init_module": 175, "kexec_load": 246, "add_key": 248, "keyctl": 250, "unshare": 272,
        "perf_event_open": 298, "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308,
        "process_vm_readv": 310, "process_vm_writev": 311, "seccomp": 317, "memfd_create": 319,
        "bpf": 321, "execveat": 322, "userfaultfd": 323, "io_uring_setup": 425,
        "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438,
    },
    "aarch64": {
        "socket": 198, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "execve": 221,
        "semget": 190, "msgget": 186, "shmget": 194, "ptrace": 117, "setuid": 146,
        "pivot_root": 41, "chroot": 51, "mount": 40, "sethostname": 161, "init_module": 105,
        "kexec_load": 104, "add_key": 217, "keyctl": 219, "unshare": 97, "perf_event_open": 241,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "seccomp": 277, "memfd_create": 279,
        "bpf": 280, "execveat": 281, "userfaultfd": 282, "io_uring_setup": 425,
        "pidfd_send_signal": 424, "pidfd_open": 434, "pidfd_getfd": 438,
    },
}  # fmt: skip
THREAD_FLAGS = 0x3D0F00  # what glibc passes for a thread
SIGCHLD = 17


def _public_numbers() -> dict[str, int]:
    found: dict[str, int] = {}
    for line in GENERIC.strip().splitlines():
        first, *names = line.split()
        found.update({name: int(first) + i for i, name in enumerate(names)})
    return found


def decide(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: a classic BPF machine of the five operations in use."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *(*arguments, *([0] * 6))[:6])
    held, at = 0, 0
    while True:
        code, if_true, if_false, value = struct.unpack_from("=HBBI", program, 8 * at)
        at += 1
        if code == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            held &= value
        elif code == 0x15:
            at += if_true if held == value else if_false
        elif code == 0x35:
            at += if_true if held >= value else if_false
        elif code == 0x06:
            return int(value)
        else:
            raise AssertionError(f"operation {code:#x}")


ENOSYS, EPERM, ENOTSUP, REFUSED = (0x00050000 | n for n in (38, 1, 95, seccomp.REFUSED))
PRETEND = 0x00050000
AT_FDCWD = (1 << 64) - 100
O_TRUNC = 0o1000
# What the jail of each level says: {Landlock version, or None for L3}, {owns the files}.
ANSWERS: dict[str, dict[str, int]] = {
    "L3": {},
    "L2, a user, Landlock 1": seccomp.without_namespaces(1, owns_files=True),
    "L2, a user, Landlock 7": seccomp.without_namespaces(7, owns_files=True),
    "L2, root, Landlock 2": seccomp.without_namespaces(2, owns_files=False),
}


class Built(NamedTuple):
    """A filter, and the kernel's numbers for the calls that it judges."""

    machine: str
    level: str
    program: bytes

    def ask(self, name: str, *arguments: int) -> int:
        number = seccomp._numbers(self.machine)[name]
        return decide(self.program, ARCH[self.machine], number, *arguments)


@pytest.fixture(params=[(m, level) for m in ARCH for level in ANSWERS], ids=str)
def built(request: pytest.FixtureRequest) -> Built:
    machine, level = request.param
    return Built(machine, level, seccomp.build_filter(machine, OWN_PID, ANSWERS[level]))


def test_aarch64_numbers_are_those_of_the_kernel() -> None:
    public = _public_numbers()
    ours = seccomp._numbers("aarch64")
    assert len(ours) > 130
    assert {name: public.get(name) for name in ours} == ours


def test_the_two_hand_written_lists_agree() -> None:
    public = _public_numbers()
    for name, number in DANGEROUS["aarch64"].items():
        assert public.get(name, number) == number


def test_what_every_program_needs_is_allowed(built: Built) -> None:
    for name in ("read", "write", "mmap", "futex", "exit_group", "getrandom", "clock_gettime",
                 "unlinkat", "renameat", "symlinkat", "mkdirat", "statx", "pipe2", "epoll_create1",
                 "recvmsg", "sendto", "flock", "ftruncate", "timer_create"):  # fmt: skip
        assert built.ask(name) == ALLOW, name


def test_no_dangerous_call_is_allowed(built: Built) -> None:
    for name, number in DANGEROUS[built.machine].items():
        assert decide(built.program, ARCH[built.machine], number) == REFUSED, name


def test_another_architecture_or_x32_kills(built: Built) -> None:
    assert decide(built.program, 0x40000003, 1) == KILL  # 32-bit x86
    assert decide(built.program, ARCH[built.machine], 0x40000000 | 39) == KILL


def test_calls_of_newer_kernels_are_not_there(built: Built) -> None:
    for number in (457, 462, 500, 10_000):
        assert decide(built.program, ARCH[built.machine], number) == ENOSYS
    assert built.ask("clone3") == built.ask("openat2") == ENOSYS


def test_threads_are_allowed_and_processes_are_not(built: Built) -> None:
    assert built.ask("clone", THREAD_FLAGS) == ALLOW
    assert built.ask("clone", SIGCHLD) == REFUSED
    assert built.ask("clone", 0x4000 | 0x100 | SIGCHLD) == REFUSED  # vfork
    assert built.ask("clone", THREAD_FLAGS | 0x10000000) == REFUSED  # a user namespace
    assert built.ask("clone", THREAD_FLAGS & ~0x400) == REFUSED  # a table of descriptors
    assert built.ask("close_range", 3, 9, 0) == built.ask("close_range", 3, 9, 4) == ALLOW
    assert built.ask("close_range", 3, 9, 2) == built.ask("close_range", 3, 9, 6) == REFUSED


def test_only_the_own_process_can_be_signalled_or_limited(built: Built) -> None:
    assert built.ask("kill", OWN_PID, 9) == built.ask("tgkill", OWN_PID, 7, 9) == ALLOW
    for other in (1, 0, OWN_PID + 1, (1 << 64) - 1):
        assert built.ask("kill", other, 9) == built.ask("tgkill", other, other, 9) == REFUSED
    assert built.ask("prlimit64", 0) == built.ask("prlimit64", OWN_PID) == ALLOW
    assert built.ask("prlimit64", 1) == built.ask("sched_setaffinity", 1) == REFUSED
    assert built.ask("setpriority", 0, 0) == ALLOW
    assert built.ask("setpriority", 1, 0) == built.ask("setpriority", 0, 9) == REFUSED


def test_nothing_is_said_about_another_process(built: Built) -> None:
    for name in ("sched_getaffinity", "sched_getparam", "sched_getscheduler", "getpgid", "getsid"):
        assert (built.ask(name, 0), built.ask(name, 7)) == (ALLOW, REFUSED), name
    assert built.ask("getpriority", 0, OWN_PID) == ALLOW
    assert built.ask("getpriority", 0, 7) == built.ask("getpriority", 2, 0) == REFUSED
    assert "get_robust_list" not in seccomp._numbers(built.machine)
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep", "timer_create"):
        for clock in (0, 1, 2, 3, 11, (~7 << 3 | 6) % (1 << 64)):  # the last: of an own thread
            assert built.ask(name, clock) == ALLOW, clock
        for clock in (~7 << 3 | 2, ~7 << 3 | 0, ~3 << 3 | 3):  # of process 7, of descriptor 3
            assert built.ask(name, clock % (1 << 64)) == REFUSED, clock


def test_no_space_can_be_kept_where_no_size_shows_it(built: Built) -> None:
    assert built.ask("fallocate", 3, 0, 0, 4096) == ALLOW
    for flags in (1, 3, 8, 16, 32):
        assert built.ask("fallocate", 3, flags, 0, 4096) == REFUSED


def test_no_descriptor_can_be_owned_by_a_process(built: Built) -> None:
    for command in (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030):
        assert built.ask("fcntl", 3, command) == ALLOW
    for command in (8, 10, 15, 1024, 1026, 1031, 1033):  # owner, signal, lease, notify, sizes
        assert built.ask("fcntl", 3, command, 1) == REFUSED
    for request in (0x8901, 0x8902, 0x5410, 0x5412):  # FIOSETOWN, SIOCSPGRP, TIOCSPGRP, TIOCSTI
        assert built.ask("ioctl", 3, request, 1) == REFUSED


def test_opening_empties_no_file_that_may_not_be_written(built: Built) -> None:
    calls: list[tuple[str, tuple[int, ...]]] = [("openat", (AT_FDCWD, 0))]
    if built.machine == "x86_64":
        calls.append(("open", (0,)))
    for name, before in calls:
        for flags in (0, 1, 2, 1 | O_TRUNC, 2 | O_TRUNC, 0o101 | O_TRUNC):
            assert built.ask(name, *before, flags) == ALLOW, flags
        for flags in (3, O_TRUNC, 3 | O_TRUNC, 0o100 | O_TRUNC):
            assert built.ask(name, *before, flags) == REFUSED, flags


def test_only_a_stream_pair_of_sockets_can_be_had(built: Built) -> None:
    assert built.ask("socketpair", 1, 1 | 0o2000000) == ALLOW
    for domain, kind in ((1, 2), (1, 5), (2, 1), (30, 1)):
        assert built.ask("socketpair", domain, kind) == REFUSED


def test_buffers_of_sockets_stay_as_small_as_they_are(built: Built) -> None:
    for option in (2, 9, 13, 20, 21):
        assert built.ask("setsockopt", 3, 1, option) == ALLOW, option
    for option in (32, 33, 26, 27, 76):  # buffers by force, filters, pidfds
        assert built.ask("setsockopt", 3, 1, option) == REFUSED, option
    assert built.ask("setsockopt", 3, 1, 7) == built.ask("setsockopt", 3, 1, 8) == PRETEND
    for option in (3, 4, 7, 8, 38, 39):
        assert built.ask("getsockopt", 3, 1, option) == ALLOW, option
    for option in (17, 77):  # SO_PEERCRED, SO_PEERPIDFD
        assert built.ask("getsockopt", 3, 1, option) == REFUSED, option
    assert built.ask("setsockopt", 3, 0, 2) == built.ask("getsockopt", 3, 6, 3) == REFUSED
    assert built.ask("fcntl", 3, 1031, 1 << 20) == REFUSED  # F_SETPIPE_SZ


def test_metadata_without_a_mount_namespace(built: Built) -> None:
    times = 0x7F0000001000
    changes = built.ask("fchmod", 3, 0o777), built.ask("utimensat", AT_FDCWD, 0, times)
    assert changes == ((PRETEND, PRETEND) if "a user" in built.level else (ALLOW, ALLOW))
    # Path.touch takes success for a file that is there.
    now = built.ask("utimensat", AT_FDCWD, 0, 0)
    assert now == (ALLOW if built.level == "L3" else EPERM)
    old_landlock = built.level.endswith(("1", "2"))
    assert built.ask("truncate") == (REFUSED if old_landlock else ALLOW)
    assert built.ask("sendmsg") == (ALLOW if built.level == "L3" else REFUSED)
    assert {built.ask(name) for name in ("getxattr", "fsetxattr", "llistxattr")} == {ENOTSUP}


def test_a_prepared_filter_holds_the_process_id() -> None:
    made = seccomp.Filter("x86_64", {})
    for pid in (1, 77, 1):
        assert made.of(pid) == seccomp.build_filter("x86_64", pid, {})


def test_the_kernel_holds_no_memory_and_no_timers_for_a_program(pool: SandboxPool) -> None:
    code = """
import ctypes, socket
def waits_in_sockets(most):
    held, n_bytes = [], 0
    try:
        for _ in range(8):
            held.append(socket.socketpair())
            for one in held[-1]:
                one.setblocking(False)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, most)
                try:
                    while n_bytes < most:
                        n_bytes += one.send(bytes(1 << 20))
                except BlockingIOError:
                    pass
    except OSError:
        pass
    return n_bytes
def timers(most):
    libc = ctypes.CDLL(None)
    kept = [ctypes.c_void_p() for _ in range(most)]
    return sum(libc.timer_create(0, None, ctypes.byref(one)) == 0 for one in kept)
"""
    tests = "from solution import timers, waits_in_sockets\n"
    tests += "assert waits_in_sockets(1 << 27) < 1 << 24\nassert timers(999) <= 64"
    run = pool.run(code, tests)
    assert run.asserts == (True, True), run.error
