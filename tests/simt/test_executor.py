"""The executor seen from Python: what a fault says, schedules, guarded arrays."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from simt_program import run

from convsmith.backends import use_backend
from convsmith.ops.norm import batch_norm_forward

simt = pytest.importorskip("convsmith.backends.simt")
if simt.unavailable_reason():
    pytest.skip(simt.unavailable_reason(), allow_module_level=True)
_simt = simt._simt


def _outcome(program, name, policy="round_robin", seed=0, form="bad"):
    done = run(program("fault_matrix"), "run", name, form, policy, str(seed))
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip().split("\t")[-1]


def test_a_deadlock_says_who_waits_where(program):
    text = _outcome(program, "warp_waits_while_block_waits")
    assert re.fullmatch(
        r"error: simt: reverse: block \(0, 0, 0\), thread \d+: barriers\.cu:\d+: deadlock: "
        r"threads 0-15, 32-47, 64-79 wait in sync_warp at barriers\.cu:\d+; "
        r"threads 16-31, 48-63, 80-95 wait in sync_block at barriers\.cu:\d+",
        text,
    )


def test_a_divergent_barrier_names_both_places(program):
    text = _outcome(program, "two_different_barriers")
    lines = re.findall(r"barriers\.cu:(\d+)", text)
    assert "divergent barrier: thread 0 waits in sync_block at" in text
    assert len(set(lines)) == 2


def test_a_divergent_warp_names_the_operation(program):
    text = _outcome(program, "mma_by_half_a_warp")
    assert "mma_16x8x16" in text and "load_matrix_x4" in text


def test_a_bad_access_names_block_thread_and_array(program):
    # "access" where the processor does not say which of the two it was.
    assert re.fullmatch(
        r"error: simt: copy: block \(1, 0, 0\), thread 35: invalid (read|access): "
        r"0 bytes past the end of 'x' of 400 bytes",
        _outcome(program, "index_off_by_one"),
    )
    assert re.search(
        r"thread 0: invalid (write|access): byte 0 of 'x'", _outcome(program, "write_to_input")
    )


def test_shared_memory_starts_as_nan(program):
    assert "nan" in _outcome(program, "tail_of_the_first_tile_not_cleared")


def test_copies_land_only_at_the_wait(program):
    for name in ("missing_wait", "wait_for_one_group_too_few", "missing_commit"):
        assert "nan" in _outcome(program, name)


def test_the_same_seed_gives_the_same_order(program):
    texts = {_outcome(program, "early_return_before_barrier", "random", 5) for _ in range(3)}
    assert len(texts) == 1
    others = {_outcome(program, "early_return_before_barrier", "random", s) for s in range(6)}
    assert len(others) > 1


def test_schedule_is_set_and_restored():
    before = _simt.schedule()
    with simt.schedule("skew", 3):
        assert _simt.schedule() == ("skew", 3)
    assert _simt.schedule() == before
    with pytest.raises(ValueError, match="policy: got 'fast', wanted round_robin, skew or random"):
        _simt.set_schedule("fast")


def _add(a, b, y):
    _simt.add(a, b, y)
    return y


@pytest.mark.parametrize("size", [0, 1, 7, 8, 255, 1000, 4097])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_arrays_keep_their_alignment_and_come_back(size, offset):
    buffer = np.full((3, size + offset + 8), np.float32(9))
    a, b, y = (row[offset : offset + size] for row in buffer)
    a[...], b[...] = np.arange(size), 2 * np.arange(size)
    np.testing.assert_array_equal(_add(a, b, y), 3 * np.arange(size))
    assert (buffer[:, :offset] == 9).all() and (buffer[:, offset + size :] == 9).all()


def test_an_array_may_be_input_twice_and_output():
    a = np.arange(10, dtype=np.float32)
    _add(a, a, a)
    np.testing.assert_array_equal(a, 2 * np.arange(10))


def test_memory_checks():
    a = np.zeros(8, np.float32)
    frozen = a.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="add: y: got a read-only array"):
        _add(a, a, frozen)
    with pytest.raises(ValueError, match="add: b: got an array that is not C-contiguous"):
        _add(a[:4], a[::2], a[:4].copy())
    with pytest.raises(ValueError, match=r"add: b: got shape \(7,\), wanted \(8,\)"):
        _add(a, a[:7], a)
    with pytest.raises(TypeError, match="add: b: got dtype float64, wanted float32"):
        _add(a, a.astype(np.float64), a)
    with pytest.raises(TypeError, match="add: a: got dtype int32, wanted float32, float16 or bf"):
        _add(a.astype(np.int32), a, a)
    with pytest.raises(ValueError, match="add: b: got an unaligned array"):
        _add(a, np.zeros(33, np.uint8)[1:].view(np.float32), a)


def test_errors_are_runtime_errors():
    assert issubclass(_simt.SimtError, RuntimeError)
    assert issubclass(_simt.DeviceError, RuntimeError)


def test_empty_is_poisoned():
    assert np.isnan(simt.empty((3, 4), np.float32)).all()
    assert simt.empty((), np.float16).shape == ()
    assert (simt.empty((5,), np.uint8) == 255).all()


def test_several_python_threads_at_once():
    """Their arrays come and go while another's kernel runs; kernels run one at a time."""
    x = np.random.default_rng(0).standard_normal((1, 2, 2, 8)).astype(np.float32)
    ones = np.ones(8, np.float32)

    def forward(_):
        with use_backend("simt"):
            return batch_norm_forward(x, ones, ones, eps=1e-5)[0].tobytes()

    usual, before = forward(0), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(forward, range(2000))) == {usual}
    finally:
        sys.setswitchinterval(before)
