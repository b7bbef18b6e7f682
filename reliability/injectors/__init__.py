"""What breaks things: each module makes one kind of fault, and can say that it took effect.

Mechanism only. What to break when, and what has to hold afterwards, is in `reliability.faults`.
"""
