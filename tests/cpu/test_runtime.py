"""Arena, threads, instruction sets: what holds them together under fork, threads and reuse."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

import convsmith
from convsmith import _cpu, nn, ops, optim
from convsmith.models import demo_cnn


def work() -> np.ndarray:
    """Large enough for every thread, the same every time."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((400, 300), dtype=np.float32)
    b = rng.standard_normal((300, 500), dtype=np.float32)
    return np.asarray(ops.gemm(a, b))


def in_forked_child(body: Callable[[], bool]) -> bool:
    """Whether body() is true in a forked child that ends within 30 seconds."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if body() else 1
        finally:
            os._exit(code)
    timer = threading.Timer(30, os.kill, (child, 9))
    timer.start()
    try:
        _, status = os.waitpid(child, 0)
    finally:
        timer.cancel()
    return os.waitstatus_to_exitcode(status) == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_works_after_its_parent_did() -> None:
    _cpu.set_num_threads(4)
    expected = work()
    assert in_forked_child(lambda: _cpu.num_threads() == 4 and np.array_equal(work(), expected))
    assert np.array_equal(work(), expected)  # and the parent goes on
    # A grandchild, forked by a child whose own pool has run.
    assert in_forked_child(
        lambda: (
            np.array_equal(work(), expected)
            and in_forked_child(lambda: np.array_equal(work(), expected))
        )
    )


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_another_thread_computes() -> None:
    expected = work()
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        for _ in range(10):
            assert in_forked_child(lambda: np.array_equal(work(), expected))
    finally:
        stop.set()
        thread.join()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = work()
    monkeypatch.setenv("CONVSMITH_NUM_THREADS", "zero")
    assert in_forked_child(lambda: np.array_equal(work(), expected))


def test_two_threads_at_once() -> None:
    expected = work()
    results: list[bool] = []

    def compute() -> None:
        results.extend(np.array_equal(work(), expected) for _ in range(50))

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 200
    assert all(results)


def test_the_thread_count_may_change_while_another_thread_computes() -> None:
    expected = work()
    stop = threading.Event()

    def change() -> None:
        count = 1
        while not stop.is_set():
            _cpu.set_num_threads(count % 7 + 1)
            count += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert all(np.array_equal(work(), expected) for _ in range(100))
    finally:
        stop.set()
        thread.join()


def test_empty_recycles_memory_and_aligns_it() -> None:
    first = _cpu.empty((1000, 7), np.float32)
    assert first.ctypes.data % 64 == 0
    assert first.flags.c_contiguous
    assert first.flags.writeable
    address = first.ctypes.data
    view = first[10:20]
    del first
    second = _cpu.empty((1000, 7), np.float32)
    assert second.ctypes.data != address, "a view must keep the block alive"
    del view
    third = _cpu.empty((7, 1000), np.float32)
    assert third.ctypes.data == address


def test_trim_gives_memory_back() -> None:
    block = _cpu.empty((1 << 20,), np.float32)
    del block
    assert _cpu.arena_stats()["cached_bytes"] >= 4 << 20
    _cpu.arena_trim()
    assert _cpu.arena_stats()["cached_bytes"] == 0


def test_changing_sizes_leave_no_more_than_was_used_at_once() -> None:
    _cpu.arena_trim()
    most = 0
    for size in range(1, 40):
        block = _cpu.empty((size << 18,), np.float32)
        most = max(most, _cpu.arena_stats()["in_use_bytes"])
        del block
    assert _cpu.arena_stats()["cached_bytes"] <= 2 * most


def test_a_kernel_as_large_as_its_stride_needs_little_memory() -> None:
    shape = ops.shapes.Conv2dShape.infer((1, 128, 128, 3), (8, 64, 64, 3), stride=64)
    dy, weight = np.ones(shape.y_shape, np.float32), np.ones(shape.weight_shape, np.float32)
    _cpu.arena_trim()
    assert (ops.conv2d_backward_input(dy, weight, shape) == 8).all()
    assert _cpu.arena_stats()["cached_bytes"] < 64 << 20


def test_empty_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(TypeError, match="empty: dtype"):
        _cpu.empty((3,), np.dtype(object))
    for wild in (np.dtype([("a", "O")]), np.dtypes.StringDType(), np.dtype("(2,3)f4")):
        with pytest.raises(TypeError, match="empty: dtype"):
            _cpu.empty((3,), wild)
    with pytest.raises(ValueError, match="negative"):
        _cpu.empty((3, -1), np.float32)
    with pytest.raises(ValueError, match="64 bits"):
        _cpu.empty((2**40, 2**40), np.float32)
    with pytest.raises(MemoryError):
        _cpu.empty((2**50,), np.float32)
    assert _cpu.empty((0, 5), np.float32).shape == (0, 5)


def test_steady_state_training_faults_no_fresh_pages() -> None:
    convsmith.seed(0)
    model = demo_cnn()
    optimizer = optim.Adam(model.parameters())
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 32, 32, 1), dtype=np.float32)
    labels = rng.integers(0, 10, 64)

    def step() -> None:
        logits, cache = model.forward(x, training=True)
        _, dlogits = nn.cross_entropy(logits, labels)
        model.backward(dlogits, cache, input_grad=False)
        optimizer.step()
        model.zero_grad()

    for _ in range(5):
        step()
    before = _cpu.arena_stats()["system_allocations"]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        step()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    assert _cpu.arena_stats()["system_allocations"] == before
    # A step writes about 20 MB; fresh it would fault thousands of pages of 4 KB each time.
    assert faults < 20 * 10, f"{faults} page faults in 20 steps"


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", _cpu.available_isas())
def test_the_environment_forces_the_instruction_set(name: str) -> None:
    done = run_python("from convsmith import _cpu; print(_cpu.isa())", CONVSMITH_ISA=name)
    assert done.stdout.strip() == name


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="set_isa: got 'sse9', wanted one of generic"):
        _cpu.set_isa("sse9")
    done = run_python("from convsmith import _cpu; print(_cpu.isa())", CONVSMITH_ISA="sse9")
    assert done.returncode == 1
    assert "CONVSMITH_ISA: got 'sse9'" in done.stderr


def test_the_environment_sets_the_thread_count() -> None:
    code = "from convsmith import _cpu; print(_cpu.num_threads())"
    assert run_python(code, CONVSMITH_NUM_THREADS="3").stdout.strip() == "3"
    assert (
        "CONVSMITH_NUM_THREADS: got 'many'" in run_python(code, CONVSMITH_NUM_THREADS="many").stderr
    )
    with pytest.raises(ValueError, match="set_num_threads: threads: got 0"):
        _cpu.set_num_threads(0)


@pytest.mark.parametrize("order", ["torch, convsmith", "convsmith, torch"])
def test_torch_beside_us(order: str) -> None:
    pytest.importorskip("torch")
    first, second = order.split(", ")
    code = (
        f"import {first}, {second}, numpy as np, torch, convsmith\n"
        "a = np.ones((300, 300), np.float32)\n"
        "for _ in range(3):\n"
        "    t = torch.from_numpy(a) @ torch.from_numpy(a)\n"
        "    c = convsmith.matmul(a, a)\n"
        "assert np.array_equal(t.numpy(), c)\n"
        "print('both right')\n"
    )
    done = run_python(code)
    assert done.stdout.strip() == "both right", done.stderr
