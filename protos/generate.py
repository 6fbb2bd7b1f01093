"""Generate the Python code of the wire beside its .proto files, and the image that `buf` checks.

    python -m protos.generate            write the generated files in place
    python -m protos.generate --to DIR   write them below DIR (a test compares them with the committed ones)
    python -m protos.generate --image F  write the compiled descriptors to F

Callers import `paydesk/v1/*.proto`, while our package is `protos.paydesk.v1`; so the import lines of the generated
Python are moved below `protos`, and nothing else in them is touched.
"""

import argparse
import re
import sys
from importlib import resources
from pathlib import Path

import google.rpc
from grpc_tools import protoc

ROOT = Path(__file__).parent
IMPORT = re.compile(r"^(from|import) paydesk\.", re.MULTILINE)


def _includes() -> list[str]:
    well_known = resources.files("grpc_tools") / "_proto"
    google_rpc = Path(google.rpc.__path__[0]).parent.parent
    return [f"-I{ROOT}", f"-I{well_known}", f"-I{google_rpc}"]


def _sources() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("paydesk/**/*.proto"))]


def _run(arguments: list[str]) -> None:
    if protoc.main(["protoc", *_includes(), *arguments, *_sources()]) != 0:
        sys.exit("protoc refused the .proto files; its words are above")


def generate(target: Path) -> list[Path]:
    """Write `*_pb2.py`, `*_pb2.pyi` and `*_pb2_grpc.py` below `target`, and return their paths."""
    target.mkdir(parents=True, exist_ok=True)
    _run([f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}"])
    written = sorted([*target.glob("paydesk/**/*_pb2*.py"), *target.glob("paydesk/**/*_pb2.pyi")])
    for path in written:
        path.write_text(IMPORT.sub(r"\1 protos.paydesk.", path.read_text()))
    return written


def write_image(target: Path) -> None:
    """Write all descriptors with their comments to `target`, for `buf lint` and `buf breaking`."""
    _run(["--include_imports", "--include_source_info", f"--descriptor_set_out={target}"])


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Generate the wire code.")
    parser.add_argument("--to", type=Path, default=ROOT)
    parser.add_argument("--image", type=Path)
    arguments = parser.parse_args()
    if arguments.image:
        write_image(arguments.image)
    else:
        generate(arguments.to)


if __name__ == "__main__":
    main()
