"""Fuzz targets: random bytes become input and a schedule; every property is checked on each run."""
