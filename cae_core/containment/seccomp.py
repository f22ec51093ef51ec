"""A filter of system calls: no network, no other process, no new one, nobody else's files' attributes.

It is a list of what is refused. What a runtime needs differs from release to release, and a list of what is allowed
would end honest models; files are Landlock's.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import TypeAlias

from cae_core.containment.linux import SYSCALLS, syscall

__all__ = ["refuse_system_calls"]

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_BOTH: dict[str, tuple[int | None, int | None]] = {
    # name: number on x86_64, on aarch64; None: there is none
    # the network, UNIX sockets by name included: a path is no file to Landlock
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # new programs
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    # memory and messages that outlive a process, or that nobody counts
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    # attributes of files: Landlock guards contents only
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "setxattrat": (463, 463),
    "removexattrat": (466, 466),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}

_PRETENDED: dict[str, tuple[int | None, int | None]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
}
"""Answered as if it were done, and not done: honest runtimes set the mode and times of their temporary files."""

_MISSING = {"clone3": (435, 435), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426)}
"""Refused as if the kernel had none: the C library then makes threads by ``clone``, which can be looked at."""

_OWN_ONLY = {"kill": (62, 129), "tgkill": (234, 131)}
"""Allowed with this process's own number as the first argument."""

_CLIENT = frozenset({"socket", "connect"})
"""What a client calls of those above."""

_INTERNET = (2, 10)
"""Kinds of sockets, IPv4 and IPv6: not those of this machine's own services."""

_ZERO_OR_OWN = {"prlimit64": (302, 261)}

_CLONE = {"clone": (56, 220)}
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_FILTER, _ALL_THREADS = 1, 1

_Instruction: TypeAlias = tuple[int, int, int, int]


def refuse_system_calls(machine: str, *, sockets: bool = False) -> None:
    """Put every thread of this process, for ever, under the filter.

    Args:
        machine: as `platform.machine` calls it.
        sockets: whether it may connect to others, by sockets of the internet alone; it never listens.

    Raises:
        OSError: the kernel takes no filter, or it is a machine whose numbers are not known.
    """
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no numbers of system calls for {machine}")
    program = b"".join(struct.pack("=HBBI", *line) for line in _program(machine, os.getpid(), sockets=sockets))
    held = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))

    given = Program(len(program) // 8, ctypes.addressof(held))
    syscall(SYSCALLS["seccomp"][machine], _SET_FILTER, _ALL_THREADS, ctypes.byref(given))


def _program(machine: str, own: int, *, sockets: bool = False) -> Iterator[_Instruction]:
    """Yield the filter's instructions: operation, steps where true, steps where false, operand."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, _ARCHITECTURES[machine]
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    if machine == "x86_64":  # the numbers of another calling convention
        yield _AT_LEAST, 0, 1, _X32
        yield _RETURN, 0, 0, _refused(errno.ENOSYS)
    for number in _numbers({name: row for name, row in _BOTH.items() if not (sockets and name in _CLIENT)}, machine):
        yield from _answered(number, errno.EPERM)
    if sockets:
        for number in _numbers({"socket": _BOTH["socket"]}, machine):
            yield from _only_first(number, _INTERNET)
    for number in _numbers(_PRETENDED, machine):
        yield from _answered(number, 0)
    for number in _numbers(_MISSING, machine):
        yield from _answered(number, errno.ENOSYS)
    for number in _numbers(_OWN_ONLY, machine):
        yield from _only_first(number, (own,))
    for number in _numbers(_ZERO_OR_OWN, machine):
        yield from _only_first(number, (0, own))
    for number in _numbers(_CLONE, machine):
        yield _EQUAL, 0, 4, number
        yield _LOAD, 0, 0, _FIRST_ARGUMENT
        yield _ANY_BIT, 1, 0, _CLONE_THREAD
        yield _RETURN, 0, 0, _refused(errno.EPERM)
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ALLOW


def _numbers(table: dict[str, tuple[int | None, int | None]] | dict[str, tuple[int, int]], machine: str) -> list[int]:
    column = list(_ARCHITECTURES).index(machine)
    return [number for row in table.values() if (number := row[column]) is not None]


def _answered(number: int, code: int) -> Iterator[_Instruction]:
    yield _EQUAL, 0, 1, number
    yield _RETURN, 0, 0, _refused(code)


def _only_first(number: int, values: tuple[int, ...]) -> Iterator[_Instruction]:
    """Allow a call with one of these first arguments; its lower half is looked at, as the kernel does with numbers."""
    yield _EQUAL, 0, 2 + len(values) + 1, number
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    for place, value in enumerate(values):
        yield _EQUAL, len(values) - place, 0, value
    yield _RETURN, 0, 0, _refused(errno.EPERM)
    yield _RETURN, 0, 0, _ALLOW


def _refused(code: int) -> int:
    return _ERRNO | code
