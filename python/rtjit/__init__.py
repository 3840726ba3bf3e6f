"""librtjit for Python: runtime-specialised, verified, cached CUDA kernels.

    kernel = rtjit.open("moe_mxfp4", "preset=gpt-oss-20b")
    experts = kernel.pack_weights(w1=..., s1=..., b1=..., w2=..., s2=..., b2=...)
    experts(x, ids, weights, out=out)

Tensors are anything with DLPack or the CUDA array interface. docs/python.md explains all of it.
"""

from __future__ import annotations

import logging
import weakref
from typing import Any, Callable, Iterable, Mapping

from . import _rtjit
from ._locate import library_file, offer_nvrtc
from ._rtjit import Frozen, Kernel, Memory, TypedTensor, Weights, tensor
from .errors import (
    Cancelled,
    CompileFailed,
    CompilerTooOld,
    Corrupt,
    DeviceFault,
    DriverTooOld,
    Error,
    GpuBadState,
    Internal,
    InvalidArgument,
    IOFailed,
    NoCompiler,
    NoGpu,
    NotFound,
    OutOfMemory,
    ReadOnly,
    TimedOut,
    Unavailable,
    Unsupported,
)

__all__ = [
    "Cancelled", "CompileFailed", "CompilerTooOld", "Corrupt", "DeviceFault", "DriverTooOld", "Error", "Frozen", "GpuBadState",
    "IOFailed", "Internal", "InvalidArgument", "Kernel", "Library", "Memory", "NoCompiler", "NoGpu", "NotFound", "OutOfMemory",
    "ReadOnly", "TimedOut", "TypedTensor", "Unavailable", "Unsupported",
    "Weights", "empty", "open", "tensor", "version",
]  # fmt: skip

# rtjit_miss_policy
_MISS_POLICIES = {"nearest": 0, "default": 1, "tune": 2, "fail": 3, "background": 4}
_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO)
_apis: dict[str, _rtjit.Api] = {}
_libraries: weakref.WeakValueDictionary[int, Library] = weakref.WeakValueDictionary()


def _api(file: str | None = None) -> _rtjit.Api:
    file = file or library_file()
    if file not in _apis:
        offer_nvrtc()
        try:
            _apis[file] = _rtjit.load(file)
        except RuntimeError as error:
            raise ImportError(str(error)) from None
    return _apis[file]


def _log(level: int, message: str) -> None:
    logging.getLogger("rtjit").log(_LEVELS[min(level, 2)], message)


def version() -> str:
    """The version of the library that is in use."""
    return _api().version


class Library(_rtjit.Library):
    """Templates, a cache, and one GPU.

    database:     the user's cache file; None: RTJIT_CACHE, else the XDG cache folder
    read_only:    databases and packs beneath it
    templates:    folders with templates of your own
    trusted_keys: file of keys, one of which must have signed each pack
    log:          called with (level, message); None: the logger "rtjit"
    file:         the shared library; None: RTJIT_LIBRARY, else the one in this package
    """

    def __init__(
        self,
        device: int = 0,
        *,
        database: str | None = None,
        read_only: Iterable[str] = (),
        templates: Iterable[str] = (),
        trusted_keys: str | None = None,
        log: Callable[[int, str], object] | None = None,
        file: str | None = None,
    ) -> None:
        super().__init__(
            _api(file), device, str(database or ""), [str(path) for path in read_only],
            [str(path) for path in templates], str(trusted_keys or ""), log or _log,
        )  # fmt: skip

    def open(
        self,
        template: str,
        problem: str | Mapping[str, Any] | None = None,
        *,
        miss: str = "nearest",
        max_bucket: int = 0,
        configs: Iterable[str] = (),
        **keys: Any,
    ) -> Kernel:
        """Opens a template for a problem: everything up to max_bucket is compiled and loaded when it returns.

        problem: "preset=NAME", "key=value,...", or a mapping; further keys as keyword arguments win.
        miss:    "nearest", "default", "tune", "fail" or "background": where the cache has no winner
        configs: overrides "stage=variant:key=value,...", for experiments
        """
        if miss not in _MISS_POLICIES:
            raise InvalidArgument(f"miss: {miss!r}, allowed are {', '.join(_MISS_POLICIES)}")
        given = {**(problem if isinstance(problem, Mapping) else {}), **keys}
        text = problem if isinstance(problem, str) else ""
        parts = [part for part in text.split(",") if part and part.split("=")[0].strip() not in given]
        parts += [f"{key}={value}" for key, value in given.items()]
        return self._open(template, ",".join(parts), _MISS_POLICIES[miss], max_bucket, list(configs))


def open(
    template: str,
    problem: str | Mapping[str, Any] | None = None,
    *,
    device: int = 0,
    library: Library | None = None,
    miss: str = "nearest",
    max_bucket: int = 0,
    configs: Iterable[str] = (),
    **keys: Any,
) -> Kernel:
    """Library.open() on the given library, else on one that all callers for this device share."""
    if library is None:
        library = _libraries.get(device)
    if library is None:
        library = _libraries[device] = Library(device)
    return library.open(template, problem, miss=miss, max_bucket=max_bucket, configs=configs, **keys)


def empty(nbytes: int, *, device: int = 0, library: Library | None = None) -> Memory:
    """Memory of the library's device, for programs without an allocator of their own."""
    if library is None:
        library = _libraries.get(device)
    if library is None:
        library = _libraries[device] = Library(device)
    return Memory(library, nbytes)
