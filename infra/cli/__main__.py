"""`python -m infra.cli`: the same as `holdspace`."""

from infra.cli.main import main

if __name__ == "__main__":
    main()
