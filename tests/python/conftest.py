"""Tests that interrupt themselves do so however they were started."""

import signal

# A shell has what it starts in the background ignore Ctrl-C, and Python then leaves it so.
signal.signal(signal.SIGINT, signal.default_int_handler)
