"""Loopback ports that are free now and stay ours over a restart."""

import random
import socket
from collections.abc import Collection

from infra.local.stack_error import StackError

LOOPBACK = "127.0.0.1"

# Below what Linux (32768) and macOS (49152) hand out to outgoing connections. A port from that range can be taken by a
# client while its server restarts, even by the very client that is trying to reach it.
CANDIDATES = range(15_000, 32_000)
ATTEMPTS_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; connections that linger in TIME_WAIT do not matter."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def choose(taken: Collection[int]) -> int:
    """A free port that is not among `taken`; raises StackError when none was found in a bounded number of attempts."""
    for port in random.sample(CANDIDATES, ATTEMPTS_MAX):
        if port not in taken and is_free(port):
            return port
    raise StackError(f"No free port between {CANDIDATES.start} and {CANDIDATES.stop} on {LOOPBACK}.")
