#!/usr/bin/env bash
# Install into an environment:   requirements/install.sh PYTHON ARGUMENTS...   (the arguments of `pip install`)
#
# With the environment's own pip. Where it has none, because uv made it, with uv; else with the pip that Python brings
# along (ensurepip), which is put into the environment. Nothing is compiled to bytecode: pip does that file by file.
set -euo pipefail

python=$1
shift
if "$python" -m pip --version > /dev/null 2>&1; then
  exec "$python" -m pip install --quiet --no-compile "$@"
elif command -v uv > /dev/null; then
  exec uv pip install --quiet --python "$python" "$@"
elif "$python" -m ensurepip > /dev/null 2>&1; then
  exec "$python" -m pip install --quiet --no-compile "$@"
fi
echo "$python has no pip, uv is not on the path, and '$python -m ensurepip' fails. Install uv, or your system's package" >&2
echo "of ensurepip (python3-venv on Debian and Ubuntu), delete the environment's folder, and try again." >&2
exit 1
