"""Malformed input on purpose: corpora, torture sets and fuzzers against codec, server and client.

`python -m reliability.hostile` runs all of it; `reliability.hostile.fuzz` holds the fuzz targets.
"""
