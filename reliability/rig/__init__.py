"""Real processes under real faults, watched from outside.

A `Scene` is a server and people at it, each a process of its own, and a history that is kept here,
where nothing gets broken. What to break and when is in `reliability.faults`.
"""
