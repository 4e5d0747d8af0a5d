"""Signals on which a run saves and stops."""

import signal

from utils import report

STOPPING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1  # on which a run saves and stops
KILLING = signal.SIGINT, signal.SIGTERM  # if they come again


class Signals:
    """Notes a signal that asks to stop in `received`, so that the step can be finished.

    Ctrl-C and SIGTERM, of which a second one kills, SIGHUP of a terminal that is gone (if nohup does not
    ignore it), which the shell may send again, and SIGUSR1, which SLURM can send before its time limit.
    """

    def __init__(self):
        self.received, self.before = None, {}

    def listen(self):
        """Note signals from now on."""
        by_nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        numbers = [number for number in STOPPING if number != signal.SIGHUP or not by_nohup]
        self.before = {number: signal.signal(number, self._note) for number in numbers}

    def restore(self):
        """Handle signals as before."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.received = number
        signal.signal(number, signal.SIG_DFL if number in KILLING else signal.SIG_IGN)
        report("stopping after this step …")
