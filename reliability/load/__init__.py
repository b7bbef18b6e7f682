"""Load faults: what crowds, slow clients and hostile ones do to a real server, and to the others.

`python -m reliability.load SCENARIO` starts a server, loads it from processes of their own, and
holds what happened against the promise and against bounds of time and memory.
"""
