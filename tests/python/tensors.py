"""Arrays of NumPy as the tensors that a library takes: as they are where its device is emulated, else copied to the GPU.

`given` is what the library takes. With a dtype the array's elements are the bits of that type.
"""

import numpy as np

import rtjit


class OnHost:
    def __init__(self, array, dtype=None):
        self._array, self._dtype = array, dtype
        self.given = rtjit.tensor(array, dtype) if dtype else array

    def columns(self, count):
        """The first columns, where they are: rows lie apart."""
        return OnHost(self._array[:, :count], self._dtype)

    def read(self):
        return self._array.copy()

    def write(self, array):
        self._array[:] = array


class OnGpu:
    """By PyTorch: what most callers with a GPU pass."""

    def __init__(self, array, dtype=None):
        import torch

        self._element = array.dtype
        self._dtype = {"bf16": torch.bfloat16, None: None}[dtype]
        self._set(self._from_numpy(array).cuda())

    def _from_numpy(self, array):
        import torch

        return torch.from_numpy(array.view("i2") if array.dtype == "u2" else array)

    def _set(self, bits):
        self._bits = bits
        self.given = bits if self._dtype is None else bits.view(self._dtype)

    def columns(self, count):
        part = object.__new__(OnGpu)
        part._element, part._dtype = self._element, self._dtype
        part._set(self._bits[:, :count])
        return part

    def read(self):
        return self._bits.cpu().numpy().view(self._element)  # waits

    def write(self, array):
        self._bits.copy_(self._from_numpy(array))


class InMemory:
    """In memory of the library, which no framework has to be there for."""

    def __init__(self, library, array, dtype=None):
        array = np.ascontiguousarray(array)
        self._memory, self._element, self._shape = rtjit.empty(array.nbytes, library=library), array.dtype, array.shape
        self.write(array)
        self.__cuda_array_interface__ = {
            "shape": array.shape, "typestr": array.dtype.str, "data": (self._memory.ptr, False), "version": 3,
        }  # fmt: skip
        self.given = rtjit.tensor(self, dtype) if dtype else self

    def read(self):
        return np.frombuffer(self._memory.read(), dtype=self._element).reshape(self._shape)  # waits

    def write(self, array):
        self._memory.write(np.ascontiguousarray(array))
