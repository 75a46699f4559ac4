"""A user's kernel among the backends: use_backend, which_backend, env, and a whole model."""

from __future__ import annotations

import numpy as np
import pytest
from compiler import needs_compiler

import convsmith
from convsmith import cli, ops
from convsmith.backends import table
from convsmith.models import demo_cnn
from convsmith.nn.loss import cross_entropy
from convsmith.workbench import load_kernel

X = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch):
    monkeypatch.setattr(table, "_registered", {})


def test_the_op_runs_on_it_and_all_else_as_ever(python_kernel):
    assert convsmith.register_kernel(python_kernel("y[...] = 7")) == "mine"
    usual = convsmith.which_backend("gemm", X)
    assert ops.add(X, X)[0, 1] == 2  # registered is not chosen
    with convsmith.use_backend("mine"):
        assert convsmith.which_backend("add", X) == "mine"
        assert convsmith.which_backend("gemm", X) == usual
        assert convsmith.which_backend("add", "float64") == "reference"
        assert (ops.add(X, X) == 7).all()
        assert (ops.add(X.astype(np.float64), X.astype(np.float64))[0] == [0, 2, 4]).all()
    assert "mine" in convsmith.available_backends()


def test_what_it_does_not_support_goes_elsewhere(new):
    folder = new("conv2d_forward", "python", "source=conv2d_forward", "source=conv2d_forward, ")
    text = (folder / "kernel.py").read_text()
    text = text.replace("conv2d_forward, )", "conv2d_forward, supports=lambda s: s.groups == 1)")
    (folder / "kernel.py").write_text(text)
    convsmith.register_kernel(folder)
    plain = convsmith.ops.Conv2dShape.infer((1, 4, 4, 2), (2, 3, 3, 2))
    grouped = convsmith.ops.Conv2dShape.infer((1, 4, 4, 2), (2, 3, 3, 1), groups=2)
    with convsmith.use_backend("mine"):
        assert convsmith.which_backend("conv2d_forward", X, plain) == "mine"
        assert convsmith.which_backend("conv2d_forward", X, grouped) != "mine"


def test_registered_again_it_is_the_new_one(python_kernel):
    for value in (3, 4):
        convsmith.register_kernel(python_kernel(f"y[...] = {value}"))
        with convsmith.use_backend("mine"):
            assert (ops.add(X, X) == value).all()


def test_a_name_of_our_own(python_kernel):
    with pytest.raises(ValueError, match="name: got 'reference', a backend of convsmith's own"):
        convsmith.register_kernel(python_kernel("pass", name="reference"))


def test_env_tells(python_kernel, capsys):
    folder = python_kernel("y[...] = a + b")
    assert cli.main(["env"]) == 0
    assert "registered kernels" not in capsys.readouterr().out
    assert cli.main(["env", "--kernel", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "registered kernels, for use_backend\n" in out
    assert f"  mine  add in Python ({folder}/kernel.py), for numpy.ndarray" in out


def training_step():
    convsmith.seed(1)
    model = demo_cnn(classes=4)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, 32, 32, 1), dtype=np.float32)
    y, cache = model.forward(x, training=True)
    loss, dy = cross_entropy(y, np.arange(4))
    model.backward(dy, cache)
    return loss, [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize(
    ("op", "language"),
    [
        ("conv2d_forward", "python"),
        pytest.param("conv2d_forward", "cpp", marks=needs_compiler),
        pytest.param("conv2d_backward_weight", "cpp", marks=needs_compiler),
        pytest.param("conv2d_backward_input", "cpp", marks=needs_compiler),
        pytest.param("max_pool2d_forward", "cpp", marks=needs_compiler),
        pytest.param("gemm", "cpp", marks=needs_compiler),
        pytest.param("activation_forward", "cpp", marks=needs_compiler),
        pytest.param("conv2d_forward", "cuda", marks=[needs_compiler, pytest.mark.slow]),
    ],
)
def test_a_whole_model(new, monkeypatch, op, language):
    wanted_loss, wanted = training_step()
    convsmith.register_kernel(new(op, language))
    backend = table.registered()["mine"]["numpy.ndarray"]
    calls = []
    run = backend._run
    monkeypatch.setattr(backend, "_run", lambda values: (calls.append(op), run(values)))
    with convsmith.use_backend("mine"):
        loss, found = training_step()
    assert calls, "the model never came to the kernel"
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)


@needs_compiler
def test_as_bench_wants_it(new):
    backend = load_kernel(new("add", "cpp"))
    assert (backend.NAME, backend.unavailable_reason()) == ("mine", None)
    assert backend.supports("add", np.dtype(np.float32)) and not backend.supports("gemm", "float32")
    assert backend.algorithms("add", "float32") == ()
    y = backend.empty((2, 3), np.float32)
    backend.add(X, X, y)
    np.testing.assert_array_equal(y, 2 * X)


@needs_compiler
def test_the_order_of_threads_is_for_cuda_alone(new):
    cuda, cpp = load_kernel(new("add", "cuda", name="c")), load_kernel(new("add", "cpp", name="d"))
    y = np.empty_like(X)
    with cuda.schedule("random", 3):
        cuda.add(X, X, y)
    np.testing.assert_array_equal(y, 2 * X)
    with pytest.raises(ValueError, match="got no CUDA kernel"), cpp.schedule("random", 3):
        pass
