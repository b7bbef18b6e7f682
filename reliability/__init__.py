"""The proof of the promise: once the sender sees ✓, every device of the addressee shows it once.

Programs that run the code of `jim` through every fault that this project knows how to make, record
what was seen from outside, and check it. `docs/reliability.md` has the table of what was run.
"""
