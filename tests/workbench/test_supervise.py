"""A process that crashes, exits, hangs or prints: each case is told apart, the others run."""

from __future__ import annotations

import signal
import sys

import pytest

from convsmith.workbench.supervise import MOST_LOST, Ran, supervise

WORKER = """
import ctypes, os, sys, time
for name in map(str.strip, sys.stdin):
    print("begin", name, flush=True)
    kind = name.partition("-")[0]
    if kind == "crash": ctypes.string_at(0)
    if kind == "abort": os.abort()
    if kind == "exit": os._exit(3)
    if kind == "realtime": os.kill(os.getpid(), 40)
    if kind == "hang": time.sleep(60)
    if kind == "talk": print("end of the world", flush=True); os.write(2, b"about " + name.encode())
    print("end", name, "answer of", name, flush=True)
    if kind == "leave": break
"""


def run(*names, time_limit=20.0):
    return list(supervise([sys.executable, "-c", WORKER], names, time_limit))


def good(name, output=""):
    return Ran(name, f"answer of {name}", "", output)


def test_nothing_to_do():
    assert run() == []


def test_every_case_has_its_answer_and_its_output():
    assert run("a", "talk-1", "b", "talk-2") == [
        good("a"),
        good("talk-1", "about talk-1"),
        good("b"),
        good("talk-2", "about talk-2"),
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("crash", "ended the process by SIGSEGV (Segmentation fault)"),
        ("abort", "ended the process by SIGABRT (Aborted)"),
        ("exit", "ended the process with exit code 3"),
        ("realtime", f"ended the process by signal 40 ({signal.strsignal(40)})"),
    ],
)
def test_a_lost_process_is_its_cases_failure_alone(name, why):
    ran = run("a", name, "b")
    assert [r.name for r in ran] == ["a", name, "b"]
    assert [r.lost for r in ran] == ["", why, ""]


def test_the_time_limit():
    ran = run("a", "hang", "b", time_limit=0.5)
    assert [r.lost for r in ran] == ["", "did not end within 0.5 s", ""]


def test_a_process_may_end_between_two_cases():
    assert run("leave-1", "leave-2", "c") == [good("leave-1"), good("leave-2"), good("c")]


def test_it_gives_up_in_the_end():
    names = [f"exit-{i}" for i in range(MOST_LOST + 3)]
    assert [r.name for r in run(*names)] == names[:MOST_LOST]


def test_a_process_that_does_not_start():
    (ran,) = supervise([sys.executable, "-c", "import no_such_module"], ["a"], 5.0)
    assert ran.lost == "ended the process with exit code 1"
    assert "No module named 'no_such_module'" in ran.output
