"""The pure core of server and client under a seeded scheduler: no sockets, no threads, no clock.

`jim.core` (hub, numbering, inheritance), `jim.protocol` (codec and session table) and
`jim.client.sync` run here as they are. What surrounds them in the product (event loop, disks,
network) is replaced by steps that a schedule puts into any order; disks may lose what was not yet
durable. `python -m reliability.simulate --help`.
"""
