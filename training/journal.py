"""What a run records as it goes: metrics, warnings, log, TensorBoard events, kept checkpoints, its page."""

import contextlib
import threading

from torch.utils.tensorboard import SummaryWriter

import utils
from pages import writing
from pictures import checkpoints
from training import folders, history, samples
from utils import first_line, say

WON = 0.99  # share of the results that D calls fake
FROZEN = 1  # grey level


def _but_for_disks(failed):
    """What a failing thread prints. TensorBoard's hands the error of a disk on to the program's own."""
    if not issubclass(failed.exc_type, OSError):
        threading.__excepthook__(failed)


class Journal(contextlib.AbstractContextManager):
    """The journal of a run that is at work in `folder`; as a context it logs how the run ends.

    `place` is the (phase, epoch) to begin with: what an earlier process told TensorBoard from there on is
    purged.
    """

    def __init__(self, folder, args, command, place):
        self.folder, self.args, self.warned = folder, args, set()
        folders.log(folder, "started", command)
        threading.excepthook = _but_for_disks
        self.events = SummaryWriter(folder, purge_step=self.step(*place))
        self.page()

    def step(self, phase, epoch):
        """The number of an epoch, counted over both phases."""
        return epoch + (self.args.pre_train_epoch if phase == 2 else 0)

    def epoch(self, t, epochs, photos, measure):
        """Record the epoch of `epochs` that a training.Training has just finished.

        A row of history.csv, the same as events, the generator if it is one to keep, and what `measure`
        gives and the samples of `photos` if it is time.
        """
        means = {term: total / t.step for term, total in t.sums.items()}
        if "skipped_steps" in means:
            means["skipped_steps"] = round(t.sums["skipped_steps"])
        speed = t.step * self.args.batch_size / t.seconds
        row = {"phase": t.phase, "epoch": t.epoch, **means}
        row |= {"seconds": round(t.seconds, 3), "images_per_second": round(speed, 3)}
        row |= {"learning_rate": t.adam_g.param_groups[0]["lr"]}
        if measure and t.epoch % self.args.eval_every == 0:
            row |= measure()
        history.add(self.folder / "history.csv", row)
        self.tell_tensorboard(row)
        if t.phase == 2:
            self.keep(t.generator, t.epoch)
        text = ", ".join(f"{term} {value:.4f}" for term, value in means.items())
        text += f"; {t.seconds:.1f} s, {speed:.1f} images/s"
        if t.epoch < epochs:
            text += f", about {folders.duration((epochs - t.epoch) * t.seconds)} to go in this phase"
        print(f"phase {t.phase}, epoch {t.epoch}/{epochs}: {text}", flush=True)
        self.watch(means)
        if t.epoch % self.args.sample_every == 0 or t.epoch == epochs:
            history.plot_losses(self.folder / "history.csv", self.folder / "losses.png")
            self.samples(t, photos)

    def watch(self, means):
        """Warn once of each of two faults that the losses do not tell, by the `means` of an epoch."""
        if means.get("fakes_detected", 0) > WON:
            least_squares = "--gan_mode lsgan, " if self.args.gan_mode == "bce" else ""
            self.warn(
                "the discriminator called over 99% of the results fake for an epoch, so the generator may "
                f"learn little from it: try a lower --lrD, {least_squares}or more --pre_train_epoch"
            )
        if means.get("change_from_photo", FROZEN) < FROZEN:
            self.warn(
                "the results differ from their photographs by less than a grey level of 255: try a lower "
                "--con_lambda, a higher --lrG, or look whether photographs and drawings are the same"
            )

    def warn(self, text):
        """Say a warning that was not said yet."""
        if text not in self.warned:
            self.warned.add(text)
            say(f"warning: {text}")

    def tell_tensorboard(self, row):
        """Add a row of history.csv to TensorBoard's events."""
        for name in row.keys() - {"phase", "epoch"}:
            self.events.add_scalar(name, row[name], self.step(row["phase"], row["epoch"]))
        self.events.flush()

    def keep(self, generator, epoch):
        """Keep the generator after an epoch of phase two if it is one to keep, or the best so far."""
        file = checkpoints.generator_file(generator)
        if self.args.checkpoint_every and epoch % self.args.checkpoint_every == 0:
            checkpoints.save(self.folder / f"generator_{epoch}.pth", file)
        best = history.best(history.read(self.folder / "history.csv"))
        if best and int(best["epoch"]) == epoch:
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
        while utils.said:
            folders.log(self.folder, "said", utils.said.popleft())
        try:
            writing.update(self.folder)
        except Exception as error:
            self.warn(f"the pages could not be written: {first_line(error)}")

    def end(self, event, reason=""):
        """Log how the run ended."""
        self.page()
        folders.log(self.folder, event, reason)
        self.events.close()
        self.page()

    def __exit__(self, kind, error, _):
        if isinstance(error, (Exception, KeyboardInterrupt)):
            with contextlib.suppress(OSError):  # a full disk may be what ended the run
                self.end("stopped" if kind is KeyboardInterrupt else "failed", first_line(error))
