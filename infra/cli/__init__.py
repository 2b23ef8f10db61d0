"""The operators' command: `holdspace`."""
