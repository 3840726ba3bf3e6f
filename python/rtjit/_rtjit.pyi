from typing import Any, Callable, TypedDict

class Argument(TypedDict):
    name: str
    doc: str
    packed: bool
    written: bool
    optional: bool
    rank: int
    dtypes: list[str]

class Api:
    @property
    def file(self) -> str: ...
    @property
    def version(self) -> str: ...
    def status_name(self, status: int) -> str: ...

def load(file: str) -> Api: ...

class TypedTensor: ...

def tensor(source: object, dtype: str) -> TypedTensor:
    """The tensor, its elements taken as another type of the same size: u8 i8 i16 i32 i64 bf16 f16 f32 f64 e4m3 e8m0."""

class Library:
    def __init__(
        self,
        api: Api,
        device: int,
        database: str,
        read_only: list[str],
        template_paths: list[str],
        trusted_keys: str,
        log: Callable[[int, str], object] | None,
    ) -> None: ...
    @property
    def device_name(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def ordinal(self) -> int: ...
    @property
    def sm_count(self) -> int: ...
    @property
    def total_memory(self) -> int: ...
    @property
    def emulated(self) -> bool: ...
    @property
    def file(self) -> str: ...
    def _open(self, template: str, problem: str, miss_policy: int, max_bucket: int, configs: list[str]) -> Kernel: ...

class Memory:
    """Device memory, aligned to 256 bytes. Freed with the object."""

    def __init__(self, library: Library, nbytes: int) -> None: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def ptr(self) -> int: ...
    def write(self, data: object, offset: int = 0) -> None:
        """Copies from an object with the buffer protocol. Waits for the device."""

    def read(self) -> bytes:
        """Waits for the device."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...

class Weights:
    """Packed weights, and the kernel they are packed for."""

    @property
    def kernel(self) -> Kernel: ...
    @property
    def memory(self) -> Any: ...
    @property
    def layout(self) -> str: ...
    def __call__(self, *tensors: object, workspace: object = None, stream: object = None, **named: object) -> Any:
        """kernel(..., packed=self)"""

    def freeze(self, *tensors: object, workspace: object = None, stream: object = None, **named: object) -> Frozen:
        """kernel.freeze(..., packed=self)"""

class Frozen:
    """A launch that was decided ahead: types, shapes, addresses, weights and workspace."""

    @property
    def kernel(self) -> Kernel: ...
    def __call__(self, *tensors: object, stream: object = None, **named: object) -> Any:
        """Launches on the stream. Returns the tensor that is written.

        Without tensors: with those that it was frozen with. With tensors: with those, all of them, of the same types, shapes
        and strides. stream: None: the framework's current one, else that of freeze().
        """

class Kernel:
    """A template opened for one problem on one device."""

    def __call__(
        self,
        *tensors: object,
        packed: Weights | None = None,
        workspace: object = None,
        stream: object = None,
        **named: object,
    ) -> Any:
        """Launches on the stream. Returns the tensor that is written.

        Positional: the tensors that are read, in the manifest's order. stream: None (the framework's current one), an
        address, or an object with __cuda_stream__, cuda_stream or ptr. workspace: None: the kernel's own, per stream.
        """

    def freeze(
        self,
        *tensors: object,
        packed: Weights | None = None,
        workspace: object = None,
        stream: object = None,
        **named: object,
    ) -> Frozen:
        """Decides a launch ahead. The arguments are those of a call; nothing is launched."""

    def pack_weights(self, *tensors: object, packed: object = None, stream: object = None, **named: object) -> Weights:
        """Packs weights on the stream. packed: memory for them, of packed_size bytes; None: allocated."""

    def adopt_weights(self, layout: str, packed: object) -> Weights:
        """Weights that were packed before: `layout` must be this kernel's."""

    def workspace_size(self, bucket_value: int) -> int: ...
    def reserve(self, bucket_value: int, stream: object = None) -> None:
        """Allocates the kernel's own workspace for the stream now, so that a launch may be captured."""

    def provenance(self, bucket_value: int) -> str: ...
    def refresh(self) -> None: ...
    @property
    def packed_size(self) -> int: ...
    @property
    def layout(self) -> str:
        """What packed weights must have been packed as. Kernels of one layout share them."""

    @property
    def problem(self) -> str:
        """All keys of the problem with their values."""

    @property
    def library(self) -> Library: ...
    @property
    def arguments(self) -> list[Argument]: ...
