"""What a spot check found, as a file that the ledger reads: images of a committed run that were computed again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from stylemixseg._util.paths import atomic_write
from stylemixseg.evaluation.numbercheck import Row
from stylemixseg.evaluation.resultfiles import ResultError, read_json

FILE = "spot_check.json"


@dataclass(frozen=True)
class SpotCheck:
    """What a spot check found.

    Attributes:
        profile: whose committed run was tested. key: from which its images were drawn.
        created: date and time of the end, UTC, ISO 8601. seconds: wall time.
        rows: one per image and score. left_out: {table: why nothing of it was tested}.
    """

    profile: str
    key: str
    created: str
    seconds: float
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]

    def images(self, name: str) -> list[str]:
        """The images of one set of scores that were computed again."""
        return [row.image for row in self.rows if row.name == name and row.image is not None]


def write_spot_check(found: SpotCheck, results: str | Path) -> Path:
    """Write a spot check to `<results>/spot_check.json`, where the ledger reads it."""
    path = Path(results) / FILE
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(asdict(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return path


def read_spot_check(results: str | Path) -> SpotCheck | None:
    """The last spot check of a folder of results; None where there is none.

    Raises:
        ResultError: a damaged file.
    """
    path = Path(results) / FILE
    if not path.exists():
        return None
    try:
        content = read_json(path)
        return SpotCheck(**{**content, "rows": tuple(Row(**row) for row in content["rows"])})
    except (KeyError, TypeError) as error:
        raise ResultError(f"{path} is not a file of a spot check: {error!r}") from error
