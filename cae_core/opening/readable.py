"""What a child process may read: the interpreter, its packages, the system's libraries, and the named models' files.

Not whatever Python can import from: a script's own folder is such a place, and fingerprints lie in such folders.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from cae_core.containment.landlock import Readable
from cae_core.loaders import Device, plugin_modules

__all__ = ["readable_for"]

_SYSTEM = (
    *("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"),
    *("/usr/libexec", "/usr/share/zoneinfo", "/nix/store", "/gnu/store", "/usr/local/cuda", "/opt/cuda"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version", "/proc/filesystems", "/proc/devices"),
    *("/proc/modules", "/proc/driver", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices", "/sys/bus/pci"),
    *("/sys/fs/cgroup", "/sys/module/nvidia", "/sys/class/drm", "/sys/kernel/mm/transparent_hugepage"),
)

_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_ACCELERATORS = ("nvidia*", "dxg")

_OF_A_PREFIX = ("lib", "lib32", "lib64", "targets", "nvvm", "DLLs", "Library")

_SHARED = ("/", "/usr", "/usr/local")
"""Prefixes that are not Python's alone."""

_PACKAGE_FOLDERS = ("site-packages", "dist-packages")


_NAMES = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/protocols", "/run/systemd/resolve", "/run/resolvconf"),
    *("/etc/ssl", "/etc/pki", "/usr/share/ca-certificates"),
)
"""By which hosts are found and certificates are checked."""

_DNS = 53


def readable_for(
    files: Iterable[Path],
    *,
    device: Device = "auto",
    scratch: Path | None = None,
    ports: tuple[int, ...] | None = None,
) -> Readable:
    """Return what a process may touch that opens models of these files.

    Args:
        files: of the models.
        device: where they run; an accelerator's devices may be used unless it is ``"cpu"``.
        scratch: a folder that it may write; None: none.
        ports: to which it may connect, to ask a service; None: it has no network.
    """
    devices = [Path(path) for path in _DEVICES]
    if device != "cpu":
        devices += [path for pattern in _ACCELERATORS for path in Path("/dev").glob(pattern)]
    paths = [*map(Path, _SYSTEM), Path(f"/proc/{os.getpid()}"), *_interpreter(), *_packages(tuple(sys.path)), *files]
    if ports is not None:
        paths, ports = [*paths, *map(Path, _NAMES)], (*ports, _DNS)
    return Readable(paths=tuple(paths), devices=tuple(devices), scratch=scratch, ports=ports)


def _interpreter() -> Iterator[Path]:
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix} - set(_SHARED):
        yield from (Path(prefix) / part for part in _OF_A_PREFIX)
    for name in ("stdlib", "platstdlib", "purelib", "platlib"):
        yield Path(sysconfig.get_path(name))
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if folder:
            yield Path(folder)


@lru_cache(maxsize=1)
def _packages(folders: tuple[str, ...]) -> tuple[Path, ...]:
    """Return what `_installed` yields; a fork of this process need not look again."""
    return tuple(_installed(folders))


def _installed(folders: Iterable[str]) -> Iterator[Path]:
    """Yield the folders into which packages were installed, and elsewhere the packages themselves that are wanted."""
    for path in map(Path, filter(None, folders)):
        if path.name in _PACKAGE_FOLDERS or path.suffix == ".zip" or any(path.glob("*.dist-info")):
            yield path
    for name in sorted({"cae_core", *(module.partition(".")[0] for module in plugin_modules())}):
        found = find_spec(name)
        if found is not None:
            yield from map(Path, found.submodule_search_locations or ([found.origin] if found.origin else []))
