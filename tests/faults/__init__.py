"""Faults: the real platform under a seeded load while something breaks, and a checker that trusts none of it."""
