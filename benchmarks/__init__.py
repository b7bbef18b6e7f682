"""Measures the server: throughput, latency, logins, memory; the method: docs/performance.md."""
