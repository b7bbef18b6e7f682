"""What is broken when, and what has to hold afterwards: one module for each kind of fault.

`python -m reliability.faults --list` names them all.
"""
