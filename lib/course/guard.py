"""What a process that runs a submission may not do: write outside of its folder, read solutions,
use the network, start other processes, take all memory.

Three fences, each for what the one before it lets through. The kernel's (Landlock on Linux, set
here; a network namespace on Linux and ``sandbox-exec`` on macOS, set by whoever starts the
process) binds compiled code, too. Python's audit hooks, which cannot be taken off again, bind
Python code on every system. Limits of memory and file sizes are POSIX's.

This file needs the standard library only, since Landlock binds one thread and those that it
starts: it has to be there before an import starts others.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
import sys
import sysconfig
from collections.abc import Sequence

try:
    import resource
except ImportError:  # Windows
    resource = None

# Linux, include/uapi/linux/landlock.h; the numbers of its calls are the same on every machine
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 14, 1 << 13
_CHANGES = sum(1 << bit for bit in range(4, 13))  # remove, and make, of every kind
_NET = 0b11  # bind and connect, TCP
_SCOPES = 0b11  # abstract sockets and signals stay inside
_NO_NEW_PRIVILEGES = 38

_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "ctypes.",
    "os.exec",
    "os.fork",
    "os.kill",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pty.spawn",
    "resource.",
    "signal.pthread_kill",
    "_winapi.",
    "winreg.",
)
# where the paths and their folders' descriptors stand among the arguments
_CHANGING = {
    "os.chflags": [(0, None)],
    "os.chmod": [(0, 2)],
    "os.chown": [(0, 3)],
    "os.link": [(0, 2), (1, 3)],
    "os.mkdir": [(0, 2)],
    "os.remove": [(0, 1)],
    "os.removexattr": [(0, None)],
    "os.rename": [(0, 2), (1, 3)],
    "os.rmdir": [(0, 1)],
    "os.setxattr": [(0, None)],
    "os.symlink": [(1, 2)],
    "os.truncate": [(0, None)],
    "os.utime": [(0, 3)],
    "sqlite3.connect": [(0, None)],
}


def limit_memory(number: int) -> bool:
    """Limit this process's own memory, and for good.

    Args:
        number: the most bytes that it may hold; code that lies in files does not count.

    Returns:
        Whether this system enforces it. Where it can, each file that the process writes is
        limited as well, to 256 MB.

    Example:
        >>> import subprocess, sys
        >>> code = f"import runpy; guard = runpy.run_path({__file__!r}); "
        >>> code += "sys = guard['sys']; guard['limit_memory'](2**28) or sys.exit(1); 'a' * 2**29"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        1
    """
    if resource is None:
        return False
    for kind, most in (("CORE", 0), ("FSIZE", 2**28), ("DATA", number)):
        kind = getattr(resource, f"RLIMIT_{kind}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):  # a system may know a limit and not set it
            return False
    return sys.platform == "linux"


def close_kernel(folder: str, readable: Sequence[str], secret: Sequence[str]) -> bool:
    """Have the kernel let this process write below ``folder`` only, and read what it runs on.

    Args:
        folder: its own, where it may do anything.
        readable: files and folders that it may read, beside the interpreter's and the system's.
        secret: folders that no entry of ``sys.path`` may open by lying above them.

    Returns:
        Whether the kernel does it; it is Landlock, on Linux.

    Example:
        >>> import subprocess, sys
        >>> code = f"import runpy; guard = runpy.run_path({__file__!r}); "
        >>> code += "guard['close_kernel']('.', [], []) or guard['sys'].exit(1); open('/new', 'w')"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        1
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    changes = _CHANGES | _WRITE_FILE
    changes |= (_REFER if version > 1 else 0) | (_TRUNCATE if version > 2 else 0)
    wanted = [_READ_FILE | _READ_FOLDER | changes]
    wanted += ([_NET] if version > 3 else []) + ([_SCOPES] if version > 5 else [])
    attributes = struct.pack(f"={len(wanted)}Q", *wanted)
    rules = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    read = _READ_FILE | _READ_FOLDER
    # a package is found by listing folders, so all may be listed
    allowed = {os.sep: _READ_FOLDER, os.devnull: _READ_FILE | _WRITE_FILE, folder: wanted[0]}
    allowed |= {path: read for path in [*_system(secret), *readable]}
    try:
        for path, rights in allowed.items():
            _allow(libc, rules, path, rights)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return libc.syscall(_RESTRICT, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not on this machine
        return
    try:
        if not stat.S_ISDIR(os.fstat(opened).st_mode):
            rights &= _READ_FILE | _WRITE_FILE
        libc.syscall(_ADD, rules, 1, struct.pack("=Qi", rights, opened), 0)
    finally:
        os.close(opened)


def _system(secret: Sequence[str]) -> list[str]:
    """What an interpreter and its packages read."""
    own = {sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values()}
    own |= {path for path in sys.path if not any(_within(one, path) for one in secret)}
    return ["/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sys", "/usr", *sorted(own)]


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(place.rstrip(os.sep) + os.sep)


def close_python(folder: str, secret: Sequence[str]) -> None:
    """Refuse, for the rest of this process, what Python reports and a submission must not do.

    Args:
        folder: its own, where it may write.
        secret: files and folders that it may not even read.

    Example:
        >>> import subprocess, sys
        >>> code = f"import runpy; runpy.run_path({__file__!r})['close_python']('.', []); "
        >>> code += "open('/new', 'w')"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        1
    """
    real, join, read_link = os.path.realpath, os.path.join, os.readlink
    own, hidden = real(folder), [real(path) for path in secret]
    writing = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
    harmless = (os.devnull, ":memory:", b":memory:")

    def place_of(path: str | bytes, base: int) -> str:
        path = os.fsdecode(path)
        return real(path if base < 0 else join(read_link(f"/proc/self/fd/{base}"), path))

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or path in harmless:  # a descriptor was opened before
                return
            place = place_of(path, -1)
            if _within(place, own):
                return
            if any(_within(place, one) for one in hidden):
                raise PermissionError(f"a submission must not read {path!r}")
            if flags & writing:
                raise PermissionError(f"a submission must not write {path!r}")
        elif event in _CHANGING:
            for where, base in _CHANGING[event]:
                path, base = arguments[where], -1 if base is None else arguments[base]
                if isinstance(path, int) or path in harmless:
                    continue
                if not _within(place_of(path, base), own):
                    raise PermissionError(f"a submission must not change {path!r}")
        elif event.startswith(_FORBIDDEN):
            raise PermissionError(f"a submission must not do this: {event}")

    sys.addaudithook(hook)
