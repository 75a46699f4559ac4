"""Output sizes against counting window positions one by one, and against PyTorch's documented
rules; geometry that no kernel may see is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.ops.shapes import Conv2dShape, GemmShape, Pool2dShape, Resample2dShape

small = st.integers(1, 6)
pads = st.integers(0, 5)


def count_windows(size, before, after, kernel, stride, dilation):
    """How many starts, `stride` apart, have their whole window inside the padded input."""
    count = 0
    start = -before
    while start + (kernel - 1) * dilation <= size + after - 1:
        count += 1
        start += stride
    return count


def count_windows_ceil(size, before, after, kernel, stride, dilation):
    """As above, and one that overhangs the end, if it starts before the end of the input."""
    count = count_windows(size, before, after, kernel, stride, dilation)
    start = count * stride - before
    starts_before_the_padding_ends = start + (kernel - 1) * dilation < size + after - 1 + stride
    ends_exactly = count and start - stride + (kernel - 1) * dilation == size + after - 1
    if starts_before_the_padding_ends and not ends_exactly and start < size:
        count += 1
    return count


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_conv2d_output_size_is_the_number_of_window_positions(data):
    size = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))
    kernel, stride, dilation = ((data.draw(small), data.draw(small)) for _ in range(3))
    padding = tuple((data.draw(pads), data.draw(pads)) for _ in range(2))
    wanted = [
        count_windows(size[i], *padding[i], kernel[i], stride[i], dilation[i]) for i in (0, 1)
    ]
    arguments = {"stride": stride, "padding": padding, "dilation": dilation}
    if min(wanted) == 0:
        with pytest.raises(ValueError, match="conv2d: x: got shape"):
            Conv2dShape.infer((1, *size, 3), (2, *kernel, 3), **arguments)
        return
    shape = Conv2dShape.infer((1, *size, 3), (2, *kernel, 3), **arguments)
    assert shape.y_shape == (1, *wanted, 2)
    assert (shape.pad_top, shape.pad_bottom, shape.pad_left, shape.pad_right) == sum(padding, ())
    assert (shape.stride_h, shape.stride_w, shape.dilation_h, shape.dilation_w) == stride + dilation


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_pool2d_output_size_is_the_number_of_window_positions(data):
    size = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))
    kernel, stride, dilation = ((data.draw(small), data.draw(small)) for _ in range(3))
    padding = tuple((data.draw(pads), data.draw(pads)) for _ in range(2))
    ceil_mode = data.draw(st.booleans())
    count = count_windows_ceil if ceil_mode else count_windows
    wanted = [count(size[i], *padding[i], kernel[i], stride[i], dilation[i]) for i in (0, 1)]

    def infer():
        return Pool2dShape.infer(
            (2, *size, 3),
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
        )

    if min(wanted) == 0:
        with pytest.raises(ValueError, match="pool2d: x: got shape"):
            infer()
    else:
        assert infer().y_shape == (2, *wanted, 3)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 7),
    before=st.integers(0, 3),
    ceil_mode=st.booleans(),
)
def test_pool2d_output_size_is_pytorchs(size, kernel, stride, before, ceil_mode):
    torch = pytest.importorskip("torch")
    padding = min(before, kernel // 2)
    x = torch.zeros(1, 1, size, size)

    def theirs():
        return torch.nn.functional.max_pool2d(
            x, kernel, stride=stride, padding=padding, ceil_mode=ceil_mode
        )

    def ours():
        return Pool2dShape.infer(
            (1, size, size, 1), kernel=kernel, stride=stride, padding=padding, ceil_mode=ceil_mode
        )

    try:
        wanted = tuple(theirs().shape[2:])
    except RuntimeError:
        with pytest.raises(ValueError):
            ours()
    else:
        assert (ours().out_h, ours().out_w) == wanted


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(1, 40),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 9),
    dilation=st.integers(1, 4),
)
def test_same_padding_keeps_ceil_of_size_over_stride(size, kernel, stride, dilation):
    shape = Conv2dShape.infer(
        (1, size, size, 1), (1, kernel, kernel, 1), padding="same", stride=stride, dilation=dilation
    )
    assert shape.out_h == shape.out_w == -(-size // stride)
    total = shape.pad_top + shape.pad_bottom
    assert shape.pad_bottom - shape.pad_top in (0, 1), "the odd pixel goes to the bottom"
    assert (shape.pad_left, shape.pad_right) == (shape.pad_top, shape.pad_bottom)
    if total:  # the least that will do
        assert count_windows(size, 0, total - 1, kernel, stride, dilation) < shape.out_h
    pool = Pool2dShape.infer(
        (1, size, size, 1), kernel=kernel, stride=stride, padding="same", dilation=dilation
    )
    assert pool.y_shape == shape.y_shape


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_transposed_undoes_the_convolution(data):
    size = data.draw(st.integers(1, 12))
    kernel, stride, dilation = (data.draw(small) for _ in range(3))
    padding = (data.draw(pads), data.draw(pads))
    extra = data.draw(st.integers(0, stride - 1))
    arguments = {"stride": stride, "padding": (padding, padding), "dilation": dilation, "groups": 2}
    wanted = (size - 1) * stride - sum(padding) + (kernel - 1) * dilation + 1 + extra
    x_shape, weight_shape = (2, size, size, 4), (4, kernel, kernel, 3)
    if wanted < 1:
        with pytest.raises(ValueError, match="conv_transpose2d: padding: got"):
            Conv2dShape.infer_transposed(x_shape, weight_shape, output_padding=extra, **arguments)
        return
    shape = Conv2dShape.infer_transposed(x_shape, weight_shape, output_padding=extra, **arguments)
    assert shape.y_shape == x_shape
    assert shape.x_shape == (2, wanted, wanted, 6)
    assert shape == Conv2dShape.infer(shape.x_shape, weight_shape, **arguments)


@settings(deadline=None)
@given(size=st.integers(1, 20), kernel=small, stride=small, dilation=small)
def test_transposed_same_multiplies_by_the_stride(size, kernel, stride, dilation):
    shape = Conv2dShape.infer_transposed(
        (1, size, size, 2),
        (2, kernel, kernel, 3),
        padding="same",
        stride=stride,
        dilation=dilation,
    )
    assert shape.x_shape == (1, size * stride, size * stride, 3)
    assert shape.y_shape == (1, size, size, 2)


def test_output_padding_must_be_less_than_the_stride():
    with pytest.raises(ValueError, match=r"conv_transpose2d: output_padding: got \(2, 2\)"):
        Conv2dShape.infer_transposed((1, 4, 4, 1), (1, 3, 3, 1), stride=2, output_padding=2)
    with pytest.raises(ValueError, match=r"output_padding: got .*, wanted 0 with padding="):
        Conv2dShape.infer_transposed(
            (1, 4, 4, 1), (1, 3, 3, 1), stride=2, padding="same", output_padding=1
        )


def test_padding_spellings():
    def padding(value):
        s = Conv2dShape.infer((1, 9, 9, 1), (1, 3, 3, 1), padding=value)
        return (s.pad_top, s.pad_bottom, s.pad_left, s.pad_right)

    assert padding(2) == (2, 2, 2, 2)
    assert padding((1, 2)) == padding([1, 2]) == (1, 1, 2, 2)
    assert padding(((1, 2), (3, 0))) == (1, 2, 3, 0)
    assert padding("same") == (1, 1, 1, 1)


def test_members_and_products():
    shape = Conv2dShape.infer((2, 10, 8, 6), (4, 3, 1, 3), stride=(2, 1), padding=(1, 0), groups=2)
    assert shape.x_shape == (2, 10, 8, 6)
    assert shape.weight_shape == (4, 3, 1, 3)
    assert shape.y_shape == (2, 5, 8, 4)
    assert shape.macs == 2 * 5 * 8 * 4 * 3 * 1 * 3
    assert shape == Conv2dShape.infer(
        [2, 10, 8, 6], (4, 3, 1, 3), stride=[2, 1], padding=(1, 0), groups=2
    )
    with pytest.raises(AttributeError):
        shape.batch = 3


def test_pool_stride_defaults_to_the_kernel():
    shape = Pool2dShape.infer((1, 9, 9, 2), kernel=(3, 2))
    assert (shape.stride_h, shape.stride_w) == (3, 2)
    assert shape.y_shape == (1, 3, 4, 2)


def test_resample_and_gemm():
    shape = Resample2dShape.infer((2, 7, 5, 3), (4, 9))
    assert (shape.x_shape, shape.y_shape) == ((2, 7, 5, 3), (2, 4, 9, 3))
    assert Resample2dShape.infer((2, 7, 5, 3), 1).y_shape == (2, 1, 1, 3)
    gemm = GemmShape.infer((3, 5), (7, 3), transpose_a=True, transpose_b=True)
    assert (gemm.gemm_m, gemm.gemm_n, gemm.gemm_k, gemm.c_shape) == (5, 7, 3, (5, 7))
    assert GemmShape.infer((0, 5), (5, 7)).c_shape == (0, 7)
    assert GemmShape.infer((5, 0), (0, 7)).gemm_k == 0


def test_empty_batch_is_allowed():
    assert Conv2dShape.infer((0, 4, 4, 2), (3, 3, 3, 2)).y_shape == (0, 2, 2, 3)
    assert Pool2dShape.infer((0, 4, 4, 2), kernel=2).y_shape == (0, 2, 2, 2)


def conv(x=(1, 8, 8, 4), weight=(6, 3, 3, 4), **arguments):
    return lambda: Conv2dShape.infer(x, weight, **arguments)


def pool(x=(1, 8, 8, 4), **arguments):
    return lambda: Pool2dShape.infer(x, **{"kernel": 2, **arguments})


HUGE = 2**62
REFUSED = [
    (conv(x=(8, 8, 4)), ValueError, "conv2d: x: got shape"),
    (conv(x=(1, 0, 8, 4)), ValueError, "height: got 0, wanted at least 1"),
    (conv(x=(-1, 8, 8, 4)), ValueError, "batch: got -1, wanted at least 0"),
    (conv(x=(1, 8, 8, 0)), ValueError, "channels: got 0"),
    (conv(weight=(6, 3, 3)), ValueError, "conv2d: weight: got shape"),
    (conv(weight=(6, 3, 0, 4)), ValueError, "conv2d: weight: shape .* got 0"),
    (conv(weight=(6, 3, 3, 5)), ValueError, "wanted 4 channels per group"),
    (conv(groups=2), ValueError, "conv2d: weight: .* wanted 2 channels per group"),
    (conv(groups=0), ValueError, "conv2d: groups: got 0, wanted at least 1"),
    (conv(groups=-1), ValueError, "conv2d: groups: got -1"),
    (conv(groups=3), ValueError, "conv2d: groups: got 3, wanted a divisor"),
    (conv(x=(1, 8, 8, 4), weight=(5, 3, 3, 2), groups=2), ValueError, "groups: got 2"),
    (conv(stride=0), ValueError, r"conv2d: stride \(height\): got 0, wanted at least 1"),
    (conv(stride=(1, -2)), ValueError, r"stride \(width\): got -2"),
    (conv(stride=(1, 2, 3)), ValueError, r"stride: got \(1, 2, 3\), wanted an int or \(h, w\)"),
    (conv(stride=1.5), TypeError, "conv2d: stride: got 1.5 of type float, wanted an int"),
    (conv(stride=(1.0, 1.0)), TypeError, "conv2d: stride: got 1.0"),
    (conv(dilation=0), ValueError, "conv2d: dilation .*: got 0"),
    (conv(padding=-1), ValueError, "conv2d: padding .*: got -1, wanted at least 0"),
    (conv(padding=((0, 0), (0, -3))), ValueError, "padding .*: got -3"),
    (conv(padding="valid"), ValueError, "conv2d: padding: got 'valid'"),
    (conv(padding=(1, 2, 3, 4)), ValueError, "conv2d: padding: got"),
    (conv(padding=None), TypeError, "conv2d: padding: got None"),
    # rounded toward zero instead of down, these would give an output of 1
    (conv(weight=(6, 9, 9, 4)), ValueError, "output would be 0 x 0"),
    (conv(weight=(6, 9, 9, 4), stride=2), ValueError, "output would be 0 x 0"),
    (conv(weight=(6, 30, 30, 4), stride=7), ValueError, "output would be -3 x -3"),
    # past 2^31 and past 2^63
    (conv(dilation=HUGE), ValueError, "conv2d: dilation .*: got"),
    (conv(dilation=2**31 - 1), ValueError, "conv2d: dilation .*: a window of"),
    (conv(weight=(6, HUGE, 3, 4)), ValueError, "conv2d: weight: shape"),
    (conv(padding=HUGE), ValueError, "conv2d: padding .*: got"),
    (conv(padding=2**31 - 1), ValueError, "a padded input of"),
    (conv(stride=HUGE), ValueError, "conv2d: stride .*: got"),
    (conv(groups=HUGE), ValueError, "conv2d: groups: got"),
    (conv(x=(HUGE, 8, 8, 4)), ValueError, "batch: got"),
    (conv(x=(2**31 - 1, 2**31 - 1, 8, 4)), ValueError, "conv2d: x: shape .* elements"),
    (conv(weight=(2**31 - 1, 2**31 - 1, 1, 4), dilation=1), ValueError, "conv2d: weight: shape"),
    (
        conv(x=(2**20, 2**10, 2**10, 1), weight=(2**30, 1, 1, 1)),
        ValueError,
        "conv2d: y: shape .* elements",
    ),
    (pool(kernel=0), ValueError, r"pool2d: kernel \(height\): got 0"),
    (pool(kernel=9), ValueError, "pool2d: x: got shape .* output would be 0 x 0"),
    (pool(kernel=2**16, padding=2**17), ValueError, "pool2d: kernel: got .* positions"),
    (pool(stride=0), ValueError, "pool2d: stride .*: got 0"),
    (pool(dilation=2**31 - 1, kernel=3), ValueError, "pool2d: dilation"),
    (pool(padding=-1), ValueError, "pool2d: padding"),
    (pool(x=(1, 8, 8)), ValueError, "pool2d: x: got shape"),
    (lambda: Resample2dShape.infer((1, 2, 2, 1), 0), ValueError, "resample2d: size .*: got 0"),
    (lambda: Resample2dShape.infer((1, 2, 2, 1), (2, HUGE)), ValueError, "resample2d: size"),
    (lambda: Resample2dShape.infer((1, 2, 2), 2), ValueError, "resample2d: x: got shape"),
    (lambda: GemmShape.infer((2, 3), (4, 5)), ValueError, "gemm: b: got shape .* wanted 3 rows"),
    (lambda: GemmShape.infer((2, 3, 1), (3, 5)), ValueError, "gemm: a: got shape"),
    (lambda: GemmShape.infer((2, HUGE), (HUGE, 5)), ValueError, "gemm: a: shape"),
    (
        lambda: GemmShape.infer((2**31 - 1, 1), (1, 2**31 - 1)),
        ValueError,
        "gemm: c: shape .* elements",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_remembered_shape_does_not_let_a_float_through():
    conv(stride=1)()
    with pytest.raises(TypeError, match="stride"):
        conv(stride=1.0)()
