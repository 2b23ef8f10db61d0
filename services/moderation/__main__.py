"""`python -m services.moderation [api|reactions|projections|relay ...]`, all of them by default; `migrate` alone."""

from kernel.process import main
from services.moderation.settings import Settings
from services.moderation.wiring import wire

if __name__ == "__main__":
    main("moderation", Settings, wire)
