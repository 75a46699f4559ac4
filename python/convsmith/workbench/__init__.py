"""Kernels of your own: one folder each, checked, timed and used as convsmith's are.

A folder holds the source and a kernel.py that says what it is:

>>> from convsmith.workbench import Kernel
>>> kernel = Kernel(op="conv2d_forward", source="conv2d_forward.cu")

`convsmith new-kernel` writes one to start from, `convsmith check --kernel` checks it, and
register_kernel lets use_backend choose it.
"""

from convsmith.workbench.backend import KernelBackend, load_kernel, register_kernel
from convsmith.workbench.kernel import Kernel, KernelError

__all__ = ["Kernel", "KernelBackend", "KernelError", "load_kernel", "register_kernel"]
