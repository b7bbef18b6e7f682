"""Measures the server: throughput, latency, logins and memory; see docs/performance.md for the method."""
