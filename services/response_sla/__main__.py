"""`python -m services.response_sla [api|reactions|projections ...]`, all of them by default; `migrate` alone."""

from kernel.process import main
from services.response_sla.settings import Settings
from services.response_sla.wiring import wire

if __name__ == "__main__":
    main("response_sla", Settings, wire)
