"""Ctrl-C and SIGTERM, noted so that the step can be finished."""

import contextlib
import signal

from utils import say


class Stop(contextlib.AbstractContextManager):
    """Notes Ctrl-C or SIGTERM in `received`, so that the step can be finished; a second one kills."""

    received = None

    def __enter__(self):
        self.before = {
            number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number, _):
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        say("stopping after this step …")
