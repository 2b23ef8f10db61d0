"""Tests. What they need of the environment is set here, before anything reads it."""

import os

os.environ.setdefault("HOLDSPACE_ENVIRONMENT", "local")
# gRPC's fork handlers crash children that a process with open channels starts.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
