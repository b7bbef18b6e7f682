"""What of a message is between devices: sealing, opening, whom to believe; docs/adr/0017.

Everything here works inside a transaction of the account's store, in its thread, and keeps nothing
in memory between two of them: what is rolled back leaves no ratchet ahead of its row.
"""
