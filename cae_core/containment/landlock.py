"""Landlock: of the files of this machine, a process and its threads-to-be can read those that are named, and no other.

The calling thread alone is put under the rules, and the threads that it starts afterwards; so it is done first.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cae_core.containment.linux import syscall

__all__ = ["Readable", "allow_files"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REG = 1 << 7, 1 << 8
_TRUNCATE, _DEVICE_CONTROL = 1 << 14, 1 << 15
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Rights to files that each version of the interface has added; what stands there is refused unless it is allowed."""

_NETWORK_SINCE, _NETWORK = 4, 0b11
_CONNECT_TCP, _PORT_RULE = 0b10, 2
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""TCP; and abstract UNIX sockets of others, and signals to others."""

_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _DEVICE_CONTROL


@dataclass(frozen=True, kw_only=True)
class Readable:
    """What a child process may touch; what does not exist is left out.

    Attributes:
        paths: files, and folders with all that is in them, that may be read.
        devices: devices that may be read, written and controlled.
        scratch: a folder that may be written; None: none.
        ports: ports to which TCP connections may be made; None: there is no network at all.
    """

    paths: tuple[Path, ...]
    devices: tuple[Path, ...] = ()
    scratch: Path | None = None
    ports: tuple[int, ...] | None = None


def allow_files(readable: Readable) -> None:
    """Refuse this thread, for ever, every file but those of ``readable``.

    Raises:
        OSError: the kernel has no Landlock, or it is switched off.
    """
    version = syscall(_CREATE, None, 0, _VERSION)
    files = max(rights for since, rights in _KNOWN.items() if since <= version)
    network = _NETWORK if version >= _NETWORK_SINCE else 0
    scopes = _SCOPES if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", files, network, scopes)[: 8 + 8 * (version >= 4) + 8 * (version >= 6)]
    ruleset = syscall(_CREATE, attributes, len(attributes), 0)
    try:
        _allow(ruleset, readable.paths, (_READ_FILE | _READ_DIR) & files)
        _allow(ruleset, readable.devices, (_READ_FILE | _READ_DIR | _WRITE_FILE | _DEVICE_CONTROL) & files)
        if readable.scratch is not None:
            writing = _WRITE_FILE | _TRUNCATE | _MAKE_DIR | _MAKE_REG | _REMOVE_DIR | _REMOVE_FILE
            _allow(ruleset, [readable.scratch], (_READ_FILE | _READ_DIR | writing) & files)
        if network:
            _allow_ports(ruleset, readable.ports or ())
        syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow_ports(ruleset: int, ports: Iterable[int]) -> None:
    for port in ports:
        rule = struct.pack("=QQ", _CONNECT_TCP, port)
        syscall(_ADD, ruleset, _PORT_RULE, ctypes.create_string_buffer(rule, len(rule)), 0)


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # it does not exist here, or may not be reached anyway
            continue
        try:
            folder = os.path.isdir(place)  # noqa: PTH112 - of an open file
            rule = struct.pack("=Qi", rights if folder else rights & _FILE_RIGHTS, place)
            syscall(_ADD, ruleset, 1, ctypes.create_string_buffer(rule, len(rule)), 0)
        except OSError as error:
            if error.errno != errno.EBADFD:  # a file of a kind that no rule can be made of
                raise
        finally:
            os.close(place)
