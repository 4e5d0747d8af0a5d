"""What a run records as it goes, beside its metrics: log, TensorBoard events, kept checkpoints, its page."""

import contextlib

from torch.utils.tensorboard import SummaryWriter

import checkpoints
import errors
import gallery
import runs
import samples
from errors import first_line, say


class Journal(contextlib.AbstractContextManager):
    """The journal of a run that is at work in `folder`; as a context it logs how the run ends.

    `place` is the (phase, epoch) to begin with: what an earlier process told TensorBoard from there on is
    purged.
    """

    def __init__(self, folder, args, command, place):
        self.folder, self.args, self.reason = folder, args, None
        runs.log(folder, "started", command)
        self.events = SummaryWriter(folder, purge_step=self.step(*place))
        self.page()

    def step(self, phase, epoch):
        """The number of an epoch, counted over both phases."""
        return epoch + (self.args.pre_train_epoch if phase == 2 else 0)

    def epoch(self, row, generator):
        """Record an epoch: events of its row of metrics.csv, and the generator if it is one to keep."""
        step = self.step(row["phase"], row["epoch"])
        for name in row.keys() - {"phase", "epoch"}:
            self.events.add_scalar(name, row[name], step)
        self.events.flush()
        if row["phase"] == 1:
            return
        file = checkpoints.generator_file(generator)
        if self.args.checkpoint_every and row["epoch"] % self.args.checkpoint_every == 0:
            checkpoints.save(self.folder / f"generator_{row['epoch']}.pth", file)
        best = runs.best(runs.read_metrics(self.folder / "metrics.csv"))
        if best and int(best["epoch"]) == row["epoch"]:
            checkpoints.save(self.folder / "generator_best.pth", file)

    def samples(self, training, photos):
        """Draw the samples, thin those of earlier epochs, and write the pages."""
        pictures = samples.draw(training, self.folder, photos, self.args.sample_format)
        if training.phase == 2 and self.args.sample_keep:
            samples.thin(self.folder, self.args.sample_every, self.args.sample_keep)
        step = self.step(training.phase, training.epoch)
        self.events.add_image("samples", samples.grid(pictures), step, dataformats="HWC")
        self.page()

    def page(self):
        """Write what was said into the log, and the pages. No fault of a page ends a run."""
        while errors.said:
            runs.log(self.folder, "said", errors.said.popleft())
        try:
            gallery.update(self.folder)
        except Exception as error:
            reason = first_line(error)
            if reason != self.reason:  # once, and not at every sample
                say(f"warning: the pages could not be written: {reason}")
            self.reason = reason

    def end(self, event, reason=""):
        """Log how the run ended."""
        self.page()
        runs.log(self.folder, event, reason)
        self.events.close()
        self.page()

    def __exit__(self, kind, error, _):
        if isinstance(error, (Exception, KeyboardInterrupt)):
            with contextlib.suppress(OSError):  # a full disk may be what ended the run
                self.end("stopped" if kind is KeyboardInterrupt else "failed", first_line(error))
