"""JIM, a console messenger of your own: the server, the client library and the console client."""

__version__ = "0.1.0"
