"""Reports of the sanitizers, shortened, and the lines made of them."""

from __future__ import annotations

from pathlib import Path

from convsmith.workbench.findings import findings

MINE = Path("/home/me/my conv")

RACE = """\
==================
WARNING: ThreadSanitizer: data race (pid=1)
  Read of size 4 at 0x7f by thread T2:
    #0 load_pack<4, float> /site/convsmith/include/simt/executor.h:61 (kernel.so+0x3b4f)
    #1 conv_kernel /home/me/my conv/conv.cu:59 (kernel.so+0x3b4f)
    #2 thread_entry /site/convsmith/include/simt/executor.cpp:115 (kernel.so+0x9cb5)

  Previous write of size 4 at 0x7f by thread T1:
    #0 conv_kernel /home/me/my conv/conv.cu:57 (kernel.so+0x3b75)

  Location is heap block of size 297984 at 0x7f allocated by main thread:
    #0 aligned_alloc ../../tsan_interceptors_posix.cpp:803 (libtsan.so.2+0x3e8b0)
SUMMARY: ThreadSanitizer: data race /home/me/my conv/conv.cu:59 in conv_kernel
"""

OUTSIDE = """\
convsmith: 4 bytes past the end of 'x' of 80 bytes
=================================================================
==2==ERROR: AddressSanitizer: use-after-poison on address 0x7f at pc 0x55 bp 0x7f sp 0x7f
READ of size 4 at 0x7f thread T0
    #0 0x55 in conv_kernel(float const*) /home/me/my conv/conv.cu:51
    #1 0x55 in thread_entry /site/convsmith/include/simt/executor.cpp:115

Address 0x7f is a wild pointer inside of access range of size 0x000000000004.
SUMMARY: AddressSanitizer: use-after-poison /home/me/my conv/conv.cu:51 in conv_kernel
"""

SEGV = """\
AddressSanitizer:DEADLYSIGNAL
==2==ERROR: AddressSanitizer: SEGV on unknown address 0x0 (pc 0x55 bp 0x7f sp 0x7f T0)
==2==The signal is caused by a WRITE memory access.
    #0 0x55 in add(long, float*) /home/me/my conv/add.cpp:5
SUMMARY: AddressSanitizer: SEGV /home/me/my conv/add.cpp:5 in add(long, float*)
"""

UNDEFINED = "/home/me/my conv/add.cpp:7:12: runtime error: division by zero\n"


def test_a_race_names_both_lines_of_the_kernel_and_the_write_first():
    assert findings(RACE + RACE, MINE) == [
        "conv.cu:57: race: a write here and a read at conv.cu:59, by two threads with no barrier "
        "between them"
    ]


def test_a_race_that_was_cut_off_says_nothing():
    for end in ("  Read of size", "    #1 conv_kernel", "  Previous write"):
        assert findings(RACE[: RACE.index(end)], MINE) == []
    whole = findings(RACE, MINE)
    one_side = RACE.replace("  Previous write of size", "  Something else of size")
    assert findings(one_side, MINE) == ["conv.cu:59: race, of which only one side is known"]
    assert findings(RACE + RACE[: RACE.index("  Previous write")], MINE) == whole


def test_an_access_outside_names_line_and_array():
    assert findings(OUTSIDE, MINE) == [
        "conv.cu:51: invalid read of 4 bytes: 4 bytes past the end of 'x' of 80 bytes"
    ]


def test_a_wild_access():
    assert findings(SEGV, MINE) == ["add.cpp:5: SEGV, a write"]


def test_undefined_behaviour():
    assert findings(UNDEFINED, MINE) == ["add.cpp:7: division by zero"]


def test_without_lines_and_without_reports():
    assert findings("all is well\n", MINE) == []
    text = "==2==ERROR: AddressSanitizer: stack-overflow on address 0x7f\nSUMMARY: x\n"
    assert findings(text, MINE) == ["an unknown line: stack-overflow"]
