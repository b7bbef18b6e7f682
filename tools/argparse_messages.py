"""List the texts of argparse for our catalogue; they are extracted from here, never shown.

The union of what CPython 3.11 to 3.14 say to users. `unit_tests/test_i18n.py` compares it with
the argparse of the Python that runs the tests, so that a new text is noticed.
"""

from jim.i18n import N_, ngettext_


def _never_called() -> None:
    """Hold the calls that the extractor reads."""
    N_("usage: ")
    N_("positional arguments")
    N_("options")
    N_("subcommands")
    N_("show this help message and exit")
    N_("show program's version number and exit")
    N_("argument %(argument_name)s: %(message)s")
    N_("unknown parser %(parser_name)r (choices: %(choices)s)")
    N_('argument "-" with mode %r')
    N_("can't open '%(filename)s': %(error)s")
    N_("unrecognized arguments: %s")
    N_("not allowed with argument %s")
    N_("ignored explicit argument %r")
    N_("the following arguments are required: %s")
    N_("one of the arguments %s is required")
    N_("expected one argument")
    N_("expected at most one argument")
    N_("expected at least one argument")
    ngettext_("expected %s argument", "expected %s arguments", 1)
    N_("ambiguous option: %(option)s could match %(matches)s")
    N_("unexpected option string: %s")
    N_("invalid %(type)s value: %(value)r")
    N_("invalid choice: %(value)r (choose from %(choices)s)")
    N_("invalid choice: %(value)r, maybe you meant %(closest)r? (choose from %(choices)s)")
    N_("%(prog)s: error: %(message)s\n")
    N_("%(prog)s: warning: %(message)s\n")
    N_("%(heading)s:")
    N_("command '%(parser_name)s' is deprecated")
    N_("option '%(option)s' is deprecated")
    N_("argument '%(argument_name)s' is deprecated")
    N_(" (default: %(default)s)")
