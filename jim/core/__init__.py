"""The messenger's core, pure: names, numbering, mailboxes, the hub, and the ports to the outside."""
