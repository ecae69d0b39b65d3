"""The system-call filter, executed here for both architectures, and the numbers it is made of.

The aarch64 numbers were copied by hand from the kernel's include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import struct

import pytest

from codefavor.sandbox import seccomp

ALLOW, KILL = 0x7FFF0000, 0x80000000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
OWN_PID = 4321

GENERIC = """
8 getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
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
CLONE = {"x86_64": 56, "aarch64": 220}
KILL_CALL = {"x86_64": 62, "aarch64": 129}
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
            return value
        else:
            raise AssertionError(f"operation {code:#x}")


@pytest.fixture(params=[(m, p) for m in ARCH for p in (False, True)], ids=str)
def built(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    machine, pretend = request.param
    return machine, seccomp.build_filter(machine, OWN_PID, pretend_metadata=pretend)


def test_aarch64_numbers_are_those_of_the_kernel() -> None:
    public = _public_numbers()
    tables = seccomp._TABLE, seccomp._METADATA, seccomp._SPECIAL
    ours = {k: v for table in tables for k, v in seccomp._numbers(table, "aarch64").items()}
    assert len(ours) > 130
    assert {name: public.get(name) for name in ours} == ours


def test_the_two_hand_written_lists_agree() -> None:
    public = _public_numbers()
    for name, number in DANGEROUS["aarch64"].items():
        assert public.get(name, number) == number


def test_every_plain_call_is_allowed(built: tuple[str, bytes]) -> None:
    machine, program = built
    for name, number in seccomp._numbers(seccomp._TABLE, machine).items():
        assert decide(program, ARCH[machine], number) == ALLOW, name


def test_no_dangerous_call_is_allowed(built: tuple[str, bytes]) -> None:
    machine, program = built
    for name, number in DANGEROUS[machine].items():
        assert decide(program, ARCH[machine], number) != ALLOW, name


def test_another_architecture_or_x32_kills(built: tuple[str, bytes]) -> None:
    machine, program = built
    assert decide(program, 0x40000003, 1) == KILL  # 32-bit x86
    assert decide(program, ARCH[machine], 0x40000000 | 39) == KILL


def test_threads_are_allowed_and_processes_are_not(built: tuple[str, bytes]) -> None:
    machine, program = built
    number, arch = CLONE[machine], ARCH[machine]
    assert decide(program, arch, number, THREAD_FLAGS) == ALLOW
    assert decide(program, arch, number, SIGCHLD) != ALLOW
    assert decide(program, arch, number, 0x4000 | 0x100 | SIGCHLD) != ALLOW  # vfork
    assert decide(program, arch, number, THREAD_FLAGS | 0x10000000) != ALLOW  # a user namespace
    assert decide(program, arch, 435) == 0x00050026  # clone3: ENOSYS, so libc takes clone


def test_only_the_own_process_can_be_signalled(built: tuple[str, bytes]) -> None:
    machine, program = built
    number, arch = KILL_CALL[machine], ARCH[machine]
    assert decide(program, arch, number, OWN_PID, 9) == ALLOW
    for other in (1, 0, OWN_PID + 1, (1 << 64) - 1):
        assert decide(program, arch, number, other, 9) != ALLOW


def test_a_prepared_filter_holds_the_process_id() -> None:
    made = seccomp.Filter("x86_64", pretend_metadata=False)
    for pid in (1, 77, 1):
        made.prepare(pid)
        program = bytes(made._program)
        assert program == seccomp.build_filter("x86_64", pid, pretend_metadata=False)
