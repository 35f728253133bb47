"""`python -m stylemixseg`: the command line where the script `stylemixseg` is not on the path."""

import sys

from stylemixseg.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
