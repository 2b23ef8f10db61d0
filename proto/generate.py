"""Generates the committed Python stubs under proto/gen. Run by `make proto`; a second run leaves no difference."""

import re
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

PROTO = Path(__file__).parent
GENERATED = PROTO / "gen"


def main() -> None:
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("holdspace/**/*.proto"))
    shutil.rmtree(GENERATED, ignore_errors=True)
    GENERATED.mkdir()
    subprocess.run(  # noqa: S603 - our own compiler on our own files
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}",
            f"--proto_path={PROTO}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={GENERATED}",
            f"--grpc_python_out={GENERATED}",
            f"--mypy_out=quiet:{GENERATED}",
            f"--mypy_grpc_out=quiet,only_async:{GENERATED}",
            *sources,
        ],
        check=True,
    )
    for source in sources:  # A file without a service gets an empty gRPC module: noise.
        stub = GENERATED / source.replace(".proto", "_pb2_grpc.py")
        if not re.search(r"^service ", (PROTO / source).read_text(), re.MULTILINE):
            stub.unlink(missing_ok=True)
            stub.with_suffix(".pyi").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
