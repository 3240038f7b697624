"""Figures as data: what every benchmark writes by `--json FILE`, beside the table that it prints."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

_SHOWN = ("torch", "diffusers", "transformers", "numpy")


def write_record(path: Path, benchmark: str, rows: Sequence[Mapping[str, Any]], **facts: Any) -> None:
    """Write machine, versions, commit and `rows`, which are flat; the file appears whole."""
    asked = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True).stdout.strip() or None
    document = {
        "benchmark": benchmark,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _SHOWN},
        "commit": commit,
        **facts,
        "rows": [dict(row) for row in rows],
    }
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
