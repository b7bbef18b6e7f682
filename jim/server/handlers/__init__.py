"""What each message does, by topic. Handlers decide nothing that hub or crypto can decide."""
