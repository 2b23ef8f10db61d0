"""`python -m services.scheduling [api|reactions|projections|relay ...]`, all of them by default; `migrate` alone."""

from kernel.process import main
from services.scheduling.settings import Settings
from services.scheduling.wiring import wire

if __name__ == "__main__":
    main("scheduling", Settings, wire)
