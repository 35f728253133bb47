"""The kernel of the chapters: the interpreter that builds the book, whatever kernels the user has installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from .layout import BOOK

STARTUP = BOOK / "kernel_startup.py"  # the only start-up script


def own_kernel(folder: Path) -> type[AsyncKernelManager]:
    """A kernel manager, for nbclient's `kernel_manager_class`, that starts `sys.executable` and looks nowhere else.

    By its name, `python3`, Jupyter would look for a kernel in `JUPYTER_PATH` and in the user's home first, and may find
    one of another environment, with other versions or without this package.

    Args:
        folder: where IPython puts its files. Its usual folder, in the user's home, may also hold start-up scripts, on
            which a chapter must not depend. Only our own `STARTUP` is put into this one.
    """
    scripts = folder / "profile_default" / "startup"
    scripts.mkdir(parents=True, exist_ok=True)
    shutil.copy(STARTUP, scripts)

    class OwnKernel(AsyncKernelManager):
        kernel_spec = KernelSpec(
            argv=make_ipkernel_cmd(),
            display_name="Python 3",
            language="python",
            env={"IPYTHONDIR": str(folder)},
        )

    return OwnKernel
