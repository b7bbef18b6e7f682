"""Adapters of the `Bus` port: `local` within one process."""
