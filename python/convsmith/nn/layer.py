"""What every layer is: parameters, buffers and children found on the object, and two methods.

A layer computes in ``forward(x, training)``, which returns the result and a cache, and in
``backward(dy, cache)``, which returns dx and adds into the parameters' gradients. The cache goes
back to the caller and is never kept on the layer, so one layer may be used several times in one
model. Inference may run in several threads at once; training may not, since backward passes add
into the same gradients and a BatchNorm moves its statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from convsmith.arrays import Array, Shape, float_dtype, is_float, wide_dtype
from convsmith.backends.table import find_row, row_of
from convsmith.nn.device import like, to_cupy, to_host

# What one forward pass leaves for its backward pass. Only the layer that made it looks inside.
Cache: TypeAlias = Any


class Parameter:
    """A trained array ``data`` and its gradient ``grad``: None, or an array like ``data``."""

    __slots__ = ("data", "grad")

    def __init__(self, data: Array) -> None:
        self.data = data
        self.grad: Array | None = None

    @property
    def shape(self) -> Shape:
        shape: Shape = self.data.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.data.dtype
        return dtype

    @property
    def size(self) -> int:
        return int(self.data.size)

    def accumulate(self, grad: Array) -> None:
        """Adds ``grad``, an array that nobody else holds: the first one is kept, not copied."""
        if self.grad is None:
            self.grad = grad
        else:
            self.grad += grad

    def zero_grad(self) -> None:
        """Forgets the gradient; the next ``accumulate`` starts afresh."""
        self.grad = None

    def __repr__(self) -> str:
        return f"Parameter({'x'.join(map(str, self.shape))}, {self.dtype})"


class Layer:
    """The base of all layers.

    Parameters, and layers (alone or in a list, tuple or dict), are found on the attributes, in
    the order of assignment; a subclass needs no registration and no call of ``super().__init__``.
    Arrays that belong to the state without being trained are named in ``buffer_names``.
    """

    buffer_names: ClassVar[tuple[str, ...]] = ()
    # Its arrays stay float32 where the model is stored in 16 bits.
    keeps_float32: ClassVar[bool] = False

    # The constructor call in words, for errors and repr; set by ``describe``.
    label: str = ""

    def describe(self, *args: Any, **options: tuple[Any, Any]) -> None:
        """Sets ``label`` from positional arguments and from options (value, default)."""
        words = [str(arg) for arg in args]
        words += [f"{name}={v!r}" for name, (v, default) in options.items() if v != default]
        self.label = f"{type(self).__name__}({', '.join(words)})"

    def forward(self, x: Any, training: bool = False) -> tuple[Any, Cache]:
        """The result for ``x``, and the cache for ``backward``: None unless ``training``."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, dy: Any, cache: Cache, input_grad: bool = True) -> Any:
        """Adds the parameters' gradients and returns dx, or None with ``input_grad=False``.

        ``dy`` is the gradient of the loss by the result of the ``forward`` that gave ``cache``.
        ``input_grad=False`` spares the first layer of a model the gradient that nobody reads.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, x: Any) -> Any:
        """The result in inference mode."""
        return self.forward(x, training=False)[0]

    # What the layer is made of.

    def children(self) -> Iterator[tuple[str, Layer]]:
        """The layers held directly, with their names."""
        yield from self.attribute_layers()

    def attribute_layers(self, but: str = "") -> Iterator[tuple[str, Layer]]:
        """The layers on the attributes; a container leaves out the one it names by itself."""
        for name, value in vars(self).items():
            if name != but:
                yield from _layers_in(name, value)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer and all below it, each once, with their paths ("" for this one)."""
        yield from _walk(self, prefix, set())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once, named as in PyTorch: "layer1.0.conv1.weight"."""
        seen: set[int] = set()
        for path, layer in self.named_layers():
            for name, value in vars(layer).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(path, name), value

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """All arrays of the state that are not trained, such as running means."""
        for path, layer in self.named_layers():
            for name in layer.buffer_names:
                yield _join(path, name), getattr(layer, name)

    def zero_grad(self) -> None:
        for _, parameter in self.named_parameters():
            parameter.zero_grad()

    # Its state.

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, keyed as in PyTorch (weights in our layout)."""
        return {key: array.copy() for key, array in self.state_arrays()}

    def load_state_dict(
        self, state: Mapping[str, Any], strict: bool = True
    ) -> tuple[list[str], list[str]]:
        """Copies ``state`` into the parameters and buffers, converting to their dtypes.

        Returns the missing and the unexpected keys, which are allowed with ``strict=False``.
        Values are arrays, or what NumPy can make an array of, such as PyTorch's tensors on the
        CPU. Raises ValueError naming every missing, unexpected, wrong-shaped or non-numeric entry,
        TypeError for one that is no array; the model is then unchanged.
        """
        own = self._own_arrays()
        arrays = {key: _as_array(key, value) for key, value in state.items()}
        missing, unexpected = self.check_state(arrays, strict)
        for key, array in own.items():
            if key in arrays and array.dtype.kind in "iu" and not _is_whole(arrays[key]):
                raise ValueError(
                    f"load_state_dict: {key}: got values that are no whole numbers, wanted "
                    f"{array.dtype}; nothing was loaded"
                )
        for key, array in own.items():
            if key in arrays:
                array[...] = like(arrays[key], array)
        return missing, unexpected

    def check_state(self, state: Mapping[str, Any], strict: bool) -> tuple[list[str], list[str]]:
        """What ``load_state_dict`` checks; of the values, only shape and dtype are looked at."""
        own = self._own_arrays()
        missing = [key for key in own if key not in state]
        unexpected = [key for key in state if key not in own]
        problems = []
        if strict:
            problems += [f"missing: {key}" for key in missing]
            problems += [f"unexpected: {key}" for key in unexpected]
        for key in own:
            if key not in state:
                continue
            shape, dtype = tuple(state[key].shape), state[key].dtype
            if shape != own[key].shape:
                hint = ""
                if len(shape) == 4 and (shape[0], *shape[2:], shape[1]) == own[key].shape:
                    hint = "; it fits as convsmith.to_nhwc makes it"
                problems.append(f"{key}: got shape {shape}, wanted {own[key].shape}{hint}")
            elif dtype.kind not in "iufb" and not is_float(dtype):
                problems.append(f"{key}: got dtype {dtype}, wanted {own[key].dtype}")
            elif not getattr(own[key].flags, "writeable", True):
                problems.append(f"{key}: the array in the model is read-only")
        if problems:
            raise ValueError(
                f"load_state_dict: the state does not fit this {type(self).__name__}; nothing was "
                "loaded:\n  " + "\n  ".join(problems)
            )
        return missing, unexpected

    def state_arrays(self) -> Iterator[tuple[str, Array]]:
        """The arrays of ``state_dict`` themselves. Raises ValueError for two under one name."""
        yield from self._own_arrays().items()

    def _own_arrays(self) -> dict[str, Array]:
        found: dict[str, Array] = {}
        seen: set[int] = set()

        def add(path: str, name: str, array: Array) -> None:
            key = _join(path, name)
            if key in found:
                raise ValueError(
                    f"{type(self).__name__}: two arrays are named {key!r}, wanted names of their "
                    "own; rename an attribute or a key of a dict of layers"
                )
            found[key] = array

        for path, layer in self.named_layers():
            for name, value in vars(layer).items():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    add(path, name, value.data)
            for name in layer.buffer_names:
                add(path, name, getattr(layer, name))
        return found

    # Where and how its arrays are stored. In place; gradients are dropped.

    def astype(self, dtype: DTypeLike) -> Layer:
        """Converts parameters and floating-point buffers to ``dtype``; returns this layer.

        In 16 bits ("float16", or "bfloat16" with the package ml_dtypes) a BatchNorm stays float32.
        Raises TypeError for a dtype that the ops do not know.
        """
        wanted = float_dtype(dtype)
        wide = wide_dtype(wanted)
        self._replace_arrays(lambda layer, a: a.astype(wide if layer.keeps_float32 else wanted))
        return self

    def to_cupy(self) -> Layer:
        """Moves parameters and floating-point buffers to the GPU; returns this layer."""
        self._replace_arrays(lambda _, array: to_cupy(array))
        return self

    def to_numpy(self) -> Layer:
        """Moves parameters and floating-point buffers to the CPU; returns this layer."""
        self._replace_arrays(lambda _, array: to_host(array))
        return self

    def _replace_arrays(self, convert: Callable[[Layer, Array], Array]) -> None:
        seen: set[int] = set()
        for _, layer in self.named_layers():
            for value in vars(layer).values():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    value.data = convert(layer, value.data)
                    value.grad = None
            for name in layer.buffer_names:
                if is_float(getattr(layer, name).dtype):
                    setattr(layer, name, convert(layer, getattr(layer, name)))

    def __repr__(self) -> str:
        if self.label:
            return self.label
        lines = [f"({name}): {layer!r}" for name, layer in self.children()]
        if not lines:
            return f"{type(self).__name__}()"
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def add_place(error: Exception, name: str, layer: Layer) -> None:
    """Puts the place in the model in front of the message of an error that ``layer`` raised.

    Containers call it on the way out, so a nested layer's error begins with its whole path.
    """
    message = str(error)
    if getattr(error, "has_place", False):
        place = f"{name}."
    else:
        label = repr(layer)
        place = f"{name}: " if message.startswith(label) else f"{name}: {label}: "
        error.has_place = True  # type: ignore[attr-defined]
    error.args = (place + message,)


def check_array(label: str, x: Array, weight: Parameter | None = None) -> None:
    """Raises TypeError unless ``x`` is an array, of the dtype of ``weight`` if one is given."""
    row_of(label, "x", x)
    if weight is not None and x.dtype != weight.data.dtype:
        raise wrong_dtype(label, x, weight)


def wrong_dtype(label: str, x: Array, weight: Parameter) -> TypeError:
    return TypeError(
        f"{label}: x: got {x.dtype}, wanted {weight.dtype} as the weights have; pass "
        f"x.astype('{weight.dtype}')"
    )


def check_nhwc(
    label: str, x: Array, channels: int | None = None, weight: Parameter | None = None
) -> None:
    """``check_array``, and ValueError unless ``x`` is [batch, height, width, channels]."""
    check_array(label, x, weight)
    shape = x.shape
    if len(shape) != 4 or (channels is not None and shape[3] != channels):
        last = "channels" if channels is None else f"{channels} channels"
        raise ValueError(
            f"{label}: x: got shape {shape}, wanted [batch, height, width, {last}]; an NCHW array "
            "is converted by convsmith.to_nhwc"
        )


def check_dtype(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    """Raises TypeError unless ``dtype`` is a floating-point type that the ops know."""
    try:
        found: np.dtype[Any] = float_dtype(dtype)
    except TypeError as error:
        raise TypeError(f"{name}: dtype: {error}") from None
    return found


def need_cache(layer: Layer, cache: Cache) -> None:
    """Raises ValueError if ``cache`` is the None of an inference pass."""
    if cache is None:
        raise ValueError(
            f"{layer!r}: backward: got cache=None, wanted the cache of a training pass; call "
            "forward(x, training=True)"
        )


def _as_array(key: str, value: Any) -> Any:
    if isinstance(value, np.ndarray) or find_row(type(value)) is not None:
        return value
    try:
        return np.asarray(value)
    except Exception as error:  # whatever another library's tensor raises, its reason is inside
        raise TypeError(
            f"load_state_dict: {key}: got a {type(value).__name__} that NumPy cannot read "
            f"({error}), wanted an array"
        ) from error


def _is_whole(array: Array) -> bool:
    return not is_float(array.dtype) or bool((array == array.round()).all())


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _layers_in(name: str, value: Any) -> Iterator[tuple[str, Layer]]:
    if isinstance(value, Layer):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _layers_in(f"{name}.{index}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _layers_in(f"{name}.{key}", item)


def _walk(layer: Layer, path: str, seen: set[int]) -> Iterator[tuple[str, Layer]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, child in layer.children():
        yield from _walk(child, _join(path, name), seen)
