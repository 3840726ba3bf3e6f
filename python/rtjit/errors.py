"""One exception per status of rtjit.h. The text is the library's: what came, what is allowed, what to do."""

from __future__ import annotations


class Error(RuntimeError):
    """Any failure of the library."""

    status = "unknown"  # rtjit_status_name()


class InvalidArgument(Error, ValueError):
    status = "invalid_argument"


class Unsupported(Error):
    """Right in itself, but this device, target or toolkit cannot do it."""

    status = "unsupported"


class NotFound(Error, LookupError):
    """No such template, preset or file."""

    status = "not_found"


class Unavailable(Error):
    """No driver, no GPU, or no NVRTC where one is needed."""

    status = "unavailable"


class CompileFailed(Error):
    status = "compile_failed"


class TimedOut(Error):
    status = "timeout"


class DeviceFault(Error):
    """The CUDA context is lost: end the process."""

    status = "device_fault"


class OutOfMemory(Error, MemoryError):
    status = "out_of_memory"


class IOFailed(Error):
    status = "io"


class Corrupt(Error):
    status = "corrupt"


class ReadOnly(Error):
    status = "read_only"


class Cancelled(Error):
    status = "cancelled"


class Internal(Error):
    """A bug of librtjit."""

    status = "internal"


class DriverTooOld(Error):
    status = "driver_too_old"


class NoGpu(Error):
    """A driver, but no GPU that it offers."""

    status = "no_gpu"


class GpuBadState(Error):
    """A GPU that cannot be used: held by another process, not ready, or broken."""

    status = "gpu_bad_state"


class NoCompiler(Error):
    """NVRTC was not found where it is needed."""

    status = "no_compiler"


class CompilerTooOld(Error):
    status = "compiler_too_old"


# By the number of the status; index 0 is RTJIT_OK.
_CLASSES = (
    Error, InvalidArgument, Unsupported, NotFound, Unavailable, CompileFailed, TimedOut, DeviceFault, OutOfMemory, IOFailed,
    Corrupt, ReadOnly, Cancelled, Internal, DriverTooOld, NoGpu, GpuBadState, NoCompiler, CompilerTooOld,
)  # fmt: skip


def class_for(status: int) -> type[Error]:
    """The exception of a status; Error itself for one that is newer than this package."""
    return _CLASSES[status] if 0 <= status < len(_CLASSES) else Error
