"""How the book is built: execute the notebooks, fetch what the pages load, build the pages, check them."""

from stylemixseg._util.quiet import set_environment

# First of all, because Matplotlib reads it when it is imported; the kernels of the chapters inherit it.
set_environment()
