"""`convsmith check`: the engine and the table are in convsmith.testing."""

from convsmith.testing.report import add_arguments, run

DESCRIPTION = (
    "Runs every op of every backend on the shared list of cases and compares with the truth. "
    "Exit code 1 on any failure."
)

__all__ = ["DESCRIPTION", "add_arguments", "run"]
