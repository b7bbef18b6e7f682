"""What a malicious server does to its clients, attack by attack, and what they must make of it."""
