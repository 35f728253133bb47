#!/usr/bin/env bash
# Test the package on one interpreter, with the lowest or the highest versions that pyproject.toml allows:
#
#   requirements/try_versions.sh python3.10 lowest-direct
#   requirements/try_versions.sh python3.13 highest
#
# The locked versions of `make test` are one choice of many; users get others. This needs uv, and keeps its environment
# in .venv-PYTHON-VERSIONS. UV_TORCH_BACKEND=cpu spares the CUDA build of PyTorch. More arguments are pytest's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$1
versions=$2
shift 2
environment=.venv-$(basename "$python")-$versions
run=$environment/bin/python
extras=(--extra notebooks --extra objects --extra photos --extra test)

test -x "$run" || uv venv --quiet --python "$python" "$environment"
# Wheels only: the lowest version that the interpreter has a wheel of is the lowest that users can have.
uv pip install --quiet --python "$run" --resolution "$versions" --only-binary :all: -r pyproject.toml "${extras[@]}"
uv pip install --quiet --python "$run" --no-deps --editable .
uv pip list --python "$run"
# The method, what it stands on, and what it writes. Book, commands and experiments are tested with the locked versions;
# test_quiet.py needs the tools of the book.
"$run" -m pytest -q --ignore tests/_util/test_quiet.py tests/test_*.py tests/_util tests/evaluation tests/export \
  tests/generators tests/models tests/photos tests/objects tests/viz "$@"
