"""The jail's root file system, and keeping its work directory empty and small."""

from __future__ import annotations

import os
import stat

from codefavor.sandbox import kernel

_NEW_ROOT = "/tmp"
_DEEPEST = 100
DEVICES = ("null", "zero", "urandom", "random")
# These have the same numbers among the flags of mount(2).
_KEPT_FLAGS = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME


def build_root(readable: list[str], work: str, is_root: bool, machine: str) -> None:
    """Replace the root by a read-only one of `readable`, devices and an empty `work`."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened now: after the change of uid a closed home directory cannot be passed any more.
    handles = {path: os.open(path, os.O_PATH) for path in readable}
    devices = {f"/dev/{name}": os.open(f"/dev/{name}", os.O_PATH) for name in DEVICES}
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    if is_root:
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    kernel.mount("tmpfs", _NEW_ROOT, "tmpfs", kernel.MS_NOSUID, "size=1m,nr_inodes=1024,mode=0755")
    for path, fd in {**handles, **devices}.items():
        _bind(fd, _NEW_ROOT + path, is_device=path in devices)
        os.close(fd)
    for path, target in links.items():
        if not os.path.lexists(_NEW_ROOT + path):
            os.symlink(target, _NEW_ROOT + path)
    os.makedirs(_NEW_ROOT + work, exist_ok=True)
    os.chdir(_NEW_ROOT)
    kernel.pivot_root(machine)
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID
    kernel.mount(None, "/", None, flags)


def _bind(fd: int, target: str, *, is_device: bool) -> None:
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(f"/proc/self/fd/{fd}", target, None, kernel.MS_BIND)
    before = os.statvfs(target).f_flag
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_NOSUID
    flags |= before & _KEPT_FLAGS | (kernel.MS_RELATIME if before & os.ST_RELATIME else 0)
    if not is_device:
        flags |= kernel.MS_RDONLY
    kernel.mount(None, target, None, flags)


def empty_directory(top: int) -> None:
    """Remove everything beneath an open directory that an untrusted program filled.

    The program is dead. Directories are entered one by one and left by `..`, so no depth of
    nesting and no length of path matters; symbolic links are never followed.
    """
    here = os.dup(top)
    path: list[str] = []
    waiting = [os.listdir(here)]
    while path or waiting[0]:
        if waiting[-1]:
            name = waiting[-1].pop()
            if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=here)
                continue
            os.chmod(name, 0o700, dir_fd=here)
            path.append(name)
        else:
            waiting.pop()
            name = ".."
        there = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = there
        if name == "..":
            os.rmdir(path.pop(), dir_fd=here)
        else:
            waiting.append(os.listdir(here))
    os.close(here)


def is_larger(top: str, most_bytes: int, most_files: int) -> bool:
    """Whether a tree holds more than this, or is such that nobody can tell.

    Looks no further once it does.
    """
    waiting, n_bytes, n_files = [(top, 0)], 0, 0
    while waiting:
        path, depth = waiting.pop()
        try:
            for entry in os.scandir(path):
                n_files += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, depth + 1))
                else:
                    n_bytes += entry.stat(follow_symlinks=False).st_size
                if n_files > most_files or n_bytes > most_bytes or depth > _DEEPEST:
                    return True
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed meanwhile
        except OSError:
            return True  # closed to us, or its path is too long
    return n_bytes > most_bytes


def deleted_bytes(pid: int, work: str, file_bytes: int) -> int:
    """How much a process keeps in files of `work` that have no name any more.

    One that is only mapped counts as large as a file may be: nothing tells its size.
    """
    held: dict[int, int] = {}
    mapped: set[int] = set()
    try:
        with open(f"/proc/{pid}/maps", "rb") as maps:
            for line in maps:
                fields = line.split(maxsplit=5)
                if fields[-1].startswith(work.encode()) and line.endswith(b" (deleted)\n"):
                    mapped.add(int(fields[4]))
        for number in os.listdir(f"/proc/{pid}/fd"):
            facts = os.stat(f"/proc/{pid}/fd/{number}")
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink == 0:
                held[facts.st_ino] = facts.st_size
    except OSError:
        pass  # it ends, or closes one right now
    return sum(held.values()) + file_bytes * len(mapped - held.keys())
