"""`python -m tests.contract.golden --write-missing`: adds examples for fact types and fields that have none yet."""

import sys

from tests.contract.golden import write_missing

if __name__ == "__main__":
    if sys.argv[1:] != ["--write-missing"]:
        sys.exit(__doc__)
    for name in write_missing():
        print(f"added to {name}")
