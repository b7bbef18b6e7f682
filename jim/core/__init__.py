"""The messenger's core, pure: names, numbering, mailboxes, the hub, the ports to the outside."""
