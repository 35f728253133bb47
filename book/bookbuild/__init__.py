"""How the book is built: execute the notebooks, fetch what the pages load, build the pages, check them."""
