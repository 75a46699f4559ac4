"""What the compile check reads out of nvcc, and what it takes for a fault. Needs no nvcc."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load():
    path = ROOT / "scripts" / "cuda_compile_check.py"
    spec = importlib.util.spec_from_file_location("cuda_compile_check", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


check = load()

PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z4goodv' for 'sm_80'
ptxas info    : Function properties for _Z4goodv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 14 registers, used 0 barriers, 384 bytes cmem[0]
ptxas info    : Compiling entry function '_Z5spillv' for 'sm_80'
ptxas info    : Function properties for helper
    64 bytes stack frame, 16 bytes spill stores, 16 bytes spill loads
ptxas info    : Function properties for _Z5spillv
    40 bytes stack frame, 36 bytes spill stores, 32 bytes spill loads
ptxas info    : Used 64 registers, used 1 barriers, 8192 bytes smem, 384 bytes cmem[0]
"""

SASS = """
	.section	.text._Z4goodv,"ax",@progbits
.text._Z4goodv:
        .type           _Z4goodv,@function
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   LDG.E.128.CONSTANT R4, desc[UR4][R2.64] ;
        /*0020*/                   LDGSTS.E.BYPASS.128 [R5], desc[UR4][R2.64] ;
        /*0030*/                   STS.128 [R5], R4 ;
        /*0040*/                   STG.E.128 desc[UR4][R2.64], R4 ;
.text.helper:
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
.text._Z5spillv:
        /*0000*/                   HMMA.16816.F32.BF16 R4, R8, R10, R4 ;
        /*0010*/                   LDSM.16.M88.4 R8, [R2] ;
"""

PTX = """
.visible .entry _Z4goodv(
    .param .u64 a
) {
    ld.global.nc.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1];
    ld.shared.v4.f32 {%f1, %f2, %f3, %f4}, [%rd1];
    st.v4.u32 [%rd1], {%r1, %r2, %r3, %r4};
    cp.async.cg.shared.global [%r1], [%rd1], 16, %r2;
    cp.async.commit_group;
}
.entry _Z5spillv()
{
    ld.global.f32 %f1, [%rd1];
    mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1}, {%r2}, {%f1};
}
"""


def kernel(name, **values):
    return check.Kernel(name, **values)


def compilation(*kernels, arch="80", problems=()):
    return check.Compilation("file.cu", arch, list(kernels), list(problems))


def test_ptxas_is_read():
    kernels, problems = check.read_ptxas(PTXAS)
    assert problems == []
    assert kernels["_Z4goodv"] == kernel("_Z4goodv", registers=14)
    spilling = kernel("_Z5spillv", registers=64, shared_bytes=8192, stack_bytes=40, spill_bytes=68)
    assert kernels["_Z5spillv"] == spilling


@pytest.mark.parametrize(
    "line",
    [
        "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async serialized",
        'file.cu(3): warning #177-D: variable "x" was declared but never referenced',
        'file.cu(3): error #20: identifier "y" is undefined',
    ],
)
def test_lines_that_should_not_be_there(line):
    assert check.read_ptxas(PTXAS + line)[1] == [line]


def test_instructions_are_counted_per_kernel():
    def counts(body, patterns):
        return {name: n for name, n in check.count_instructions(body, patterns).items() if n}

    good = {"cp.async": 1, "128-bit load": 1, "128-bit store": 1}
    ptx, sass = check.bodies_of_ptx(PTX), check.bodies_of_sass(SASS)
    assert counts(ptx["_Z4goodv"], check.PTX) == good
    assert counts(sass["_Z4goodv"], check.SASS) == good
    assert counts(ptx["_Z5spillv"], check.PTX) == {"mma.sync": 1}
    assert counts(sass["_Z5spillv"], check.SASS) == {"mma.sync": 1, "ldmatrix": 1}
    assert list(check.PTX) == list(check.SASS)


def test_faults():
    rules = (check.Rule("^mma_kernel<", ("mma.sync", "ldmatrix")),)
    good = kernel("mma_kernel<float>", instructions={"mma.sync": 8, "ldmatrix": 2})
    assert list(check.faults([compilation(good)], rules)) == []
    bad = kernel("mma_kernel<half>", spill_bytes=8, instructions={"mma.sync": 8})
    assert list(check.faults([compilation(good, bad, arch="90a")], rules)) == [
        "file.cu (sm_90a): mma_kernel<half>: spills 8 bytes of registers",
        "file.cu (sm_90a): mma_kernel<half>: has no ldmatrix",
    ]
    (stale,) = check.faults([compilation(kernel("other_kernel<float>"))], rules)
    assert "no kernel matches" in stale
    (broken,) = check.faults([compilation(problems=["nvcc failed: x"])], rules)
    assert broken == "file.cu (sm_80): nvcc failed: x"


def test_the_table_gathers_the_instances_of_a_template():
    kernels = [
        kernel("add_kernel<float, 4>", registers=20, instructions={"128-bit load": 2}),
        kernel("add_kernel<float, 1>", registers=14),
    ]
    text = check.table(
        [compilation(*kernels), compilation(kernels[0], arch="90a")], "nvcc 13", "PTX"
    )
    assert "| file.cu | add_kernel | 2 | 14-20 | 20 | 0 | 0 |  |" in text


def test_shared_memory_that_the_launch_gives():
    plain = kernel("k<float>", shared_bytes=16)
    tiled = kernel("k<TensorTile<128, 64, 64, 32, 4, 3> >", dynamic_shared=True)
    assert check._shared([plain]) == "16"
    assert check._shared([tiled]) == str(4 * (128 + 64) * 64)
    assert check._shared([tiled, kernel("k<float>", dynamic_shared=True)]) == "by shape, at launch"


def test_names_without_namespaces_and_parameters():
    name = "void convsmith::cuda::(anonymous namespace)::k<convsmith::cuda::float16, T<1, 2> >(int)"
    assert check._short(name) == "k<float16, T<1, 2> >"


def test_a_change_of_a_header_is_a_change_of_the_source(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "SOURCES", tmp_path)
    (tmp_path / "a.cu").write_text('#include "b.cuh"\n#include <cstdint>\n')
    (tmp_path / "b.cuh").write_text('#include "c.cuh"\n')
    (tmp_path / "c.cuh").write_text("int x;")
    source = tmp_path / "a.cu"
    assert [path.name for path in check.dependencies(source)] == ["a.cu", "b.cuh", "c.cuh"]
    before = check.fingerprint(source, "80", "nvcc 13", False)
    assert before == check.fingerprint(source, "80", "nvcc 13", False)
    assert before != check.fingerprint(source, "90a", "nvcc 13", False)
    assert before != check.fingerprint(source, "80", "nvcc 12", False)
    assert before != check.fingerprint(source, "80", "nvcc 13", True)
    (tmp_path / "c.cuh").write_text("int y;")
    assert before != check.fingerprint(source, "80", "nvcc 13", False)


def test_without_nvcc_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(check, "find_nvcc", lambda: None)
    assert check.main([]) == 0
    assert "nvcc is not installed here: nothing was compiled" in capsys.readouterr().out
