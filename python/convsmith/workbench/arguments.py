"""A kernel's arguments on their way into C: for ctypes, and in a file for a sanitizer's program."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from convsmith.arrays import Array
from convsmith.ops.epilogue import ACTIVATIONS
from convsmith.workbench.kernel import Kernel, KernelError
from convsmith.workbench.signatures import Parameter, parameters

Values = Mapping[str, Any]  # a kernel's arguments by name

_VALUE, _INPUT, _OUTPUT = range(3)  # Role of entry.h
_FORMATS = {"bool": "?", "float": "f", "int64_t": "q"}


def role(parameter: Parameter) -> int:
    return _OUTPUT if parameter.is_output else _INPUT if parameter.is_array else _VALUE


def packed(parameter: Parameter, value: Any) -> bytes:
    """A value that is no array, as the bytes of its C++ type."""
    if parameter.type == "Activation":
        return struct.pack("i", ACTIVATIONS.index(value))
    if parameter.type in _FORMATS:
        return struct.pack(_FORMATS[parameter.type], value)
    # A shape: the members are the dataclass's fields, in this order (tested).
    members = [getattr(value, field.name) for field in fields(value)]
    formats = "".join("?" if isinstance(member, bool) else "q" for member in members)
    return struct.pack(f"@{formats}0q", *members)


class _Argument(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("name", ctypes.c_char_p),
        ("role", ctypes.c_int32),
    )


@dataclass
class Library:
    """A built kernel in this process."""

    kernel: Kernel
    path: Path

    def __post_init__(self) -> None:
        try:
            self._library = ctypes.CDLL(str(self.path))
        except OSError as error:
            raise KernelError(f"{self.kernel.name}: {self.path} does not load: {error}") from error

    def __call__(self, values: Values, stream: int = 0) -> None:
        """Run the kernel on arrays that it may use. Raises KernelError with what it threw."""
        made, alive = [], []
        for parameter in parameters(self.kernel.op):
            value = values[parameter.name]
            if parameter.is_array:
                address, size = _address(value), value.nbytes
            else:
                buffer = ctypes.create_string_buffer(packed(parameter, value))
                alive.append(buffer)
                address, size = ctypes.addressof(buffer), len(buffer)
            made.append(_Argument(address, size, parameter.name.encode(), role(parameter)))
        made.append(_Argument(stream, 0, b"stream", _VALUE))
        message = ctypes.create_string_buffer(4096)
        arguments = (_Argument * len(made))(*made)
        if self._library.convsmith_run(arguments, message, ctypes.c_int64(len(message))):
            raise KernelError(message.value.decode(errors="replace"))

    def set_schedule(self, policy: int, seed: int) -> None:
        """The order of threads under the executor, from now on."""
        self._library.convsmith_set_schedule(ctypes.c_int(policy), ctypes.c_uint64(seed))


def _address(array: Array) -> int:
    interface = getattr(array, "__array_interface__", None) or array.__cuda_array_interface__
    return int(interface["data"][0])


def write_problem(path: Path, kernel: Kernel, values: Values) -> None:
    """One call for workbench/main.cpp, which says what stands where."""
    parts: list[bytes] = []
    count = 0
    for parameter in parameters(kernel.op):
        value = values[parameter.name]
        data = value.tobytes() if parameter.is_array else packed(parameter, value)
        name = parameter.name.encode()
        parts += [struct.pack("qqq", role(parameter), len(name), len(data)), name]
        parts += [] if parameter.is_output else [data]
        count += 1
    if kernel.language == "cuda":  # the stream: any pointer, the executor has none
        parts += [struct.pack("qqq", _VALUE, 6, 1), b"stream", b"\0"]
        count += 1
    path.write_bytes(struct.pack("q", count) + b"".join(parts))
