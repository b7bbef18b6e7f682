"""What the whole project shares: constants, and sending and receiving messages on a stream."""
