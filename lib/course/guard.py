"""What a process that runs a submission may not do: write outside of its folder, read solutions,
use the network, start other processes, take all memory.

Three fences, each for what the one before it lets through. The kernel's (Landlock and seccomp on
Linux, set here; ``sandbox-exec`` on macOS, set by whoever starts the process) binds compiled code,
too. Python's audit hooks say what was refused, on every system, and stop what is easy; who knows
how Python works inside gets past them. Limits of memory and file sizes are POSIX's.

This file needs the standard library only, since Landlock binds one thread and those that it
starts: it has to be there before an import starts others.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
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
_CAPABILITIES = 0x20080522  # the version of that call

# Linux, include/uapi/linux/seccomp.h and bpf_common.h
_LOAD, _MASK, _IF_EQUAL, _IF_SET, _ANSWER = 0x20, 0x54, 0x15, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER, _MACHINE, _ARGUMENTS = 0, 4, 16  # where a filter finds them
_THREAD, _SHARED_MEMORY = 0x10000, 0x21
# what a machine calls itself there, and its numbers of seccomp, clone, mmap, tgkill and prlimit64
_MACHINES = {
    "x86_64": (0xC000003E, 317, 56, 9, 234, 302),
    "aarch64": (0xC00000B7, 277, 220, 222, 131, 261),
}
_REFUSED = {
    "x86_64": (
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        # kill, tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, ptrace, process_vm_readv and -writev,
        # setpriority, sched_setscheduler, sched_setaffinity
        *(62, 200, 129, 297, 101, 310, 311, 141, 144, 203),
        # socket, shmget, memfd_create, unshare, setns, mount, bpf, perf_event_open
        *(41, 29, 319, 272, 308, 165, 321, 298),
    ),
    "aarch64": (
        *(221, 281),  # no fork there
        *(129, 130, 138, 240, 117, 270, 271, 140, 119, 122),
        *(198, 194, 279, 97, 268, 40, 280, 241),
    ),
}
# pidfd_send_signal, io_uring_setup, pidfd_open, pidfd_getfd, memfd_secret
_REFUSED_ANYWHERE = (424, 425, 434, 438, 447)
_CLONE3 = 435

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
        limited as well, to 64 MB, and how many it has open.

    Example:
        >>> import subprocess, sys
        >>> code = f"import runpy; guard = runpy.run_path({__file__!r}); "
        >>> code += "sys = guard['sys']; guard['limit_memory'](2**28) or sys.exit(1); 'a' * 2**29"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        1
    """
    if resource is None:
        return False
    for kind, most in (("CORE", 0), ("FSIZE", 2**26), ("NOFILE", 256), ("DATA", number)):
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
    allowed = {path: read for path in [*_system(secret), *readable]}
    allowed |= {os.devnull: _READ_FILE | _WRITE_FILE, folder: wanted[0]}
    try:
        for path, rights in allowed.items():
            _allow(libc, rules, path, rights)
        libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        # an administrator's rights would read what other processes hold
        libc.capset(struct.pack("=Ii", _CAPABILITIES, 0), bytes(24))
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
    random = ["/dev/random", "/dev/urandom"]  # and no terminal, where others type
    return [*random, "/bin", "/etc", "/lib", "/lib64", "/proc", "/sys", "/usr", *sorted(own)]


def close_calls() -> bool:
    """Have the kernel refuse this process other processes, signals, sockets and shared memory.

    Unlike Landlock, it binds all threads that are there, so that imports may start what they like.

    Returns:
        Whether the kernel does it; it is seccomp, on Linux.

    Example:
        >>> import subprocess, sys
        >>> code = f"import runpy; guard = runpy.run_path({__file__!r}); "
        >>> code += "guard['close_calls']() or guard['sys'].exit(1); guard['os'].fork()"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        1
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        return False
    program = _filter(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    kept = ctypes.create_string_buffer(program)
    head = struct.pack("HP", len(program) // 8, ctypes.addressof(kept))
    return libc.syscall(_MACHINES[machine][1], 1, 1, head) == 0  # a filter, for all threads


def _filter(machine: str) -> bytes:
    """The rules of ``close_calls``, in the kernel's code."""
    mark, _, clone, mmap, tgkill, prlimit = _MACHINES[machine]

    def if_equal(value: int, *then: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
        return [(_IF_EQUAL, 0, len(then), value), *then]

    def load(place: int) -> tuple[int, int, int, int]:
        return (_LOAD, 0, 0, place)

    def refuse(number: int = errno.EPERM) -> tuple[int, int, int, int]:
        return (_ANSWER, 0, 0, _REFUSE | number)

    allow = (_ANSWER, 0, 0, _ALLOW)
    flags, own = _ARGUMENTS + 3 * 8, [os.getpid() & 0xFFFFFFFF, 0]
    rules = [load(_MACHINE), (_IF_EQUAL, 1, 0, mark), refuse(), load(_NUMBER)]
    rules += [(_IF_SET, 0, 1, 0x40000000), refuse()]  # x32, the other numbers of x86_64
    for number in (*_REFUSED[machine], *_REFUSED_ANYWHERE):
        rules += if_equal(number, refuse())
    rules += if_equal(_CLONE3, refuse(errno.ENOSYS))  # its flags lie out of sight; clone's do not
    rules += if_equal(clone, load(_ARGUMENTS), (_IF_SET, 0, 1, _THREAD), allow, refuse())
    shared = ((_MASK, 0, 0, _SHARED_MEMORY), (_IF_EQUAL, 0, 1, _SHARED_MEMORY))
    rules += if_equal(mmap, load(flags), *shared, refuse(errno.ENOMEM), allow)
    for number, whom in zip((tgkill, prlimit), own, strict=True):
        rules += if_equal(number, load(_ARGUMENTS), (_IF_EQUAL, 0, 1, whom), allow, refuse())
    return b"".join(struct.pack("=HBBI", *rule) for rule in [*rules, allow])


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
