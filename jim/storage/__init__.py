"""Adapters of the `Store` port: `sqlite` for a server, `memory` for tests and simulations."""
