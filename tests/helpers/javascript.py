"""Evaluate JavaScript that imports the modules of the live page: in Node where it is installed, else in Chromium."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, find_chromium
from http_server import served

MODULES = Path(__file__).resolve().parents[2] / "book" / "live"


def evaluate(module: str, expression: str, program: str = "") -> Any:
    """Value of an expression in which `m` stands for a module of book/live.

    Args:
        module: its name, without .js.
        expression: whatever JSON can hold.
        program: "node" or "chromium"; empty takes Node where it is installed.
    """
    program = program or ("node" if shutil.which("node") else "chromium")
    return (_in_node if program == "node" else _in_chromium)(module, expression)


def typed(array: np.ndarray) -> str:
    """An expression for an array's numbers, row after row, as a typed array."""
    kinds = {"float32": "Float32Array", "uint8": "Uint8Array", "int32": "Int32Array"}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return f"new {kinds[str(array.dtype)]}(Uint8Array.from(atob('{data}'), (c) => c.charCodeAt(0)).buffer)"


def _in_node(module: str, expression: str) -> Any:
    address = (MODULES / f"{module}.js").as_uri()
    script = f"import * as m from {json.dumps(address)};\nconsole.log(JSON.stringify({expression}));"
    command = ["node", "--no-warnings", "--experimental-default-type=module", "--input-type=module", "-"]
    done = subprocess.run(command, input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def _in_chromium(module: str, expression: str) -> Any:
    program = find_chromium()
    if program is None:
        pytest.skip("neither Node nor Chromium is installed")
    with served(MODULES) as site, Browser(program) as browser:
        page = browser.new_page()
        page.open(f"{site}/")
        script = f"import('/{module}.js').then((m) => JSON.stringify({expression}))"
        return json.loads(page.evaluate(script))
