"""Encryption under seeded schedules: N devices with their real stores, crashes, restores, and lies.

The store, what seals and opens, the errands and the decisions of the client are the real ones; the
server is a model of it that keeps its rules, and breaks them where a schedule says so. What holds,
what is run and what is not covered: docs/reliability.md.
"""
