"""`python -m services.messaging [api|reactions|projections|relay ...]`, all of them by default; `migrate` alone."""

from kernel.process import main
from services.messaging.settings import Settings
from services.messaging.wiring import wire

if __name__ == "__main__":
    main("messaging", Settings, wire)
