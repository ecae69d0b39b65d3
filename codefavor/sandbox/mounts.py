"""The jail's root file system, and keeping its work directory empty and small."""

from __future__ import annotations

import os
import stat

from codefavor.sandbox import kernel

_NEW_ROOT = "/tmp"
_DEEPEST = 100
_DEVICES = ("null", "zero", "urandom", "random")
_KEPT_FLAGS = {
    os.ST_NOSUID: kernel.MS_NOSUID,
    os.ST_NODEV: kernel.MS_NODEV,
    os.ST_NOEXEC: kernel.MS_NOEXEC,
    os.ST_NOATIME: 1024,
    os.ST_NODIRATIME: 2048,
    os.ST_RELATIME: 1 << 21,
}


def build_root(readable: list[str], work: str, is_root: bool, machine: str) -> None:
    """Replace the root by a read-only one of `readable`, devices and an empty `work`."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    # Opened now: after the change of uid a closed home directory cannot be passed any more.
    handles = {path: os.open(path, os.O_PATH) for path in readable}
    devices = {f"/dev/{name}": os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES}
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
    flags |= sum(mount for state, mount in _KEPT_FLAGS.items() if before & state and mount != 2)
    if not is_device:
        flags |= kernel.MS_RDONLY
    kernel.mount(None, target, None, flags)


def empty_directory(top: str) -> None:
    """Remove everything beneath a directory that an untrusted program filled.

    Subdirectories are moved up before they are removed, so no depth of nesting and no length
    of path matters; symbolic links are never followed.
    """
    entries = _entries(top)
    count = 0
    while entries:
        for name, is_directory in entries:
            path = os.path.join(top, name)
            if not is_directory:
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner, inner_is_directory in _entries(path):
                if inner_is_directory:
                    count += 1
                    os.chmod(os.path.join(path, inner), 0o700)
                    os.rename(os.path.join(path, inner), os.path.join(top, f"\x01{count}"))
                else:
                    os.unlink(os.path.join(path, inner))
            os.rmdir(path)
        entries = _entries(top)


def _entries(path: str) -> list[tuple[str, bool]]:
    with os.scandir(path) as entries:
        return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]


def is_larger(top: str, most_bytes: int, most_files: int) -> bool:
    """Whether a tree holds more than this, or is deeper than any honest one.

    Looks no further once it does.
    """
    waiting, n_bytes, n_files = [(top, 0)], 0, 0
    while waiting:
        path, depth = waiting.pop()
        if depth > _DEEPEST:
            return True
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    n_files += 1
                    if n_files > most_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        n_bytes += entry.stat(follow_symlinks=False).st_size
                        if n_bytes > most_bytes:
                            return True
        except OSError:
            continue
    return False
