"""Writes the Python stubs beside each .proto file; `make proto` runs it.

The package root is this folder, so that the imports in the generated code
(`from ovos.common.v1 import common_pb2`) need no rewriting. The stubs are committed:
nobody needs protoc to install, and a review sees what changed. `--check` writes
nothing and fails if a stub is not what its .proto gives; lint runs that.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent


def generate(target: Path) -> None:
    protos = sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("ovos/**/*.proto"))
    outs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    well_known = Path(protoc.__file__).parent / "_proto"
    tools = Path(sys.executable).parent
    plugins = [f"--plugin=protoc-gen-{p}={tools}/protoc-gen-{p}" for p in ("mypy", "mypy_grpc")]
    if protoc.main(["protoc", f"-I{ROOT}", f"-I{well_known}", *plugins, *outs, *protos]) != 0:
        raise SystemExit("protoc failed; its message is above")


def stale() -> list[str]:
    """Names of the stubs that differ from what the .proto files give now."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        made = {p.relative_to(fresh): p.read_bytes() for p in fresh.rglob("*_pb2*")}
    kept = {p.relative_to(ROOT): p.read_bytes() for p in ROOT.glob("ovos/**/*_pb2*.py*")}
    kept = {p: b for p, b in kept.items() if p.suffix in (".py", ".pyi")}
    return sorted(str(p) for p in made.keys() | kept.keys() if made.get(p) != kept.get(p))


if __name__ == "__main__":
    if "--check" not in sys.argv:
        generate(ROOT)
    elif names := stale():
        raise SystemExit("stale stubs, run `make proto`:\n  " + "\n  ".join(names))
