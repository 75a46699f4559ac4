"""Every template is right: on small cases here, on every case and under the sanitizers as slow."""

from __future__ import annotations

import re

import pytest
from compiler import needs_compiler

from convsmith.testing.cases import cases_for
from convsmith.testing.check import run_case
from convsmith.workbench import build, load_kernel
from convsmith.workbench.check import check_kernel
from convsmith.workbench.kernel import LANGUAGES
from convsmith.workbench.signatures import SIGNATURES

COMPILED = ("cuda", "cpp")
TEMPLATES = [
    pytest.param(op, language, marks=needs_compiler if language in COMPILED else ())
    for op in SIGNATURES
    for language in LANGUAGES
]


@pytest.mark.parametrize(("op", "language"), TEMPLATES)
def test_small_cases(new, op, language):
    backend = load_kernel(new(op, language))
    cases = [case for case in cases_for(op) if case.cost <= 3000]
    assert len(cases) >= 8
    bad = [
        result
        for case in cases[:: max(1, len(cases) // 60)]
        for fill in case.fills
        if not (result := run_case(case, op, backend, fill)).ok
    ]
    assert bad == []


@pytest.mark.slow
@pytest.mark.parametrize(("op", "language"), TEMPLATES)
def test_everything(new, op, language):
    report = check_kernel(new(op, language))
    stages = {
        "python": ["results"],
        "cpp": ["results", "addresses"],
        "cuda": ["results", "other orders of threads", "addresses", "races"],
    }
    assert [stage.failures for stage in report.stages if not stage.ok] == []
    assert [stage.title for stage in report.stages] == stages[language]
    assert report.ok and report.printed == ""


def test_every_template_is_shipped_and_listed():
    folder = build.include_folder() / "workbench" / "templates"
    for language, suffix in (("cuda", ".cu"), ("cpp", ".cpp")):
        assert {path.stem for path in (folder / language).iterdir()} == set(SIGNATURES)
        assert {path.suffix for path in (folder / language).iterdir()} == {suffix}


def test_cuda_templates_reach_the_machine_through_device_cuh():
    raw = re.compile(r"__shared__|__sync\w*|__shfl\w*|<<<|\bcuda[A-Z]\w+\(|\batomic[A-Z]|\basm\b")
    for path in (build.include_folder() / "workbench" / "templates" / "cuda").iterdir():
        assert not (found := raw.search(path.read_text())), f"{path.name}: {found.group()}"
