"""`python -m services.age_verification [api|reactions|projections|relay ...]`, by default all; `migrate` alone."""

from kernel.process import main
from services.age_verification.settings import Settings
from services.age_verification.wiring import wire

if __name__ == "__main__":
    main("age_verification", Settings, wire)
