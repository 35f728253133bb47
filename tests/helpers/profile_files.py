"""Profile files for the tests: one of the package's, with other settings."""

from __future__ import annotations

import json
from pathlib import Path

from stylemixseg.experiments.profile import profile_file, tomllib


def write_profile(path: Path, name: str, **changes: object) -> Path:
    """Write the profile `name` with changes, a section's as a mapping, to `path`."""
    settings = tomllib.loads(profile_file(name).read_text())
    for key, change in changes.items():
        settings[key] = settings[key] | change if isinstance(change, dict) else change
    sections = {key: value for key, value in settings.items() if isinstance(value, dict)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if key not in sections]
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    path.write_text("\n".join(lines) + "\n")
    return path
