"""What a run records as it goes: metrics, warnings, log, TensorBoard events, kept checkpoints, samples."""

import contextlib
import math
import threading
import time

from torch.utils.tensorboard import SummaryWriter

import utils
from pictures import checkpoints
from training import data, history, samples
from training.log import log_event
from training.shown import shown_generator
from utils import WrongUse, first_line, print_line, report

WON = 0.99  # AUC of D, of drawings against results
FROZEN = 1  # grey level
UPKEEP = 0.05  # the share of a run's time that the plot and the pages may take
BEST = "generator_best.pth"


def _but_for_disks(failed):
    """What a failing thread prints. TensorBoard's hands the error of a disk on to the program's own."""
    if not issubclass(failed.exc_type, OSError):
        threading.__excepthook__(failed)


class Journal(contextlib.AbstractContextManager):
    """The journal of a run.Run that begins; as a context it logs how the run ends.

    `after_samples(folder)` is called whenever there is something new to show.
    """

    def __init__(self, run, after_samples):
        self.run, self.folder, self.args = run, run.folder, run.args
        self.after_samples, self.warned = after_samples, set()
        self.show_from = 0  # the time from which on the plot and the pages are written again
        log_event(self.folder, "started", run.settings["commands"][-1])
        if other := self.other_best():
            self.warn(other)
        threading.excepthook = _but_for_disks
        # What an earlier process told TensorBoard from here on is purged.
        self.events = SummaryWriter(self.folder, purge_step=self.step(run.phase, run.epoch))
        self.show()

    def step(self, phase, epoch):
        """The number of an epoch, counted over both phases."""
        return epoch + (vars(self.args).get("pre_train_epoch", 0) if phase == 2 else 0)

    def epoch(self, epochs):
        """Record the epoch of `epochs` that the run has just finished.

        A row of metrics.csv, the same as events, the generator if it is one to keep, and if it is time
        measures and samples. The plot and the pages take longer the more epochs there are; they wait until
        they take no more than UPKEEP of the time, but for the last epoch of a phase.
        """
        run = self.run
        means = run.means()
        if "skipped_steps" in means:
            means["skipped_steps"] = round(run.sums["skipped_steps"])
        speed = run.step * self.args.batch_size / run.seconds
        row = {"phase": run.phase, "epoch": run.epoch, **means}
        row |= {"seconds": round(run.seconds, 3), "images_per_second": round(speed, 3)}
        row |= {"learning_rate": run.model.adam_g.param_groups[0]["lr"]}
        if run.measure and run.epoch % self.args.eval_every == 0:
            row |= {f"measured_{key}" if key in row else key: value for key, value in run.measure().items()}
        history.add(self.folder / history.FILE, row)
        self.tell_tensorboard(row)
        if run.phase == 2:
            self.keep(shown_generator(run.model), run.epoch)
        text = ", ".join(f"{term} {value:.4f}" for term, value in means.items())
        text += f"; {run.seconds:.1f} s, {speed:.1f} images/s{self.ranked(row)}"
        if run.epoch < epochs:
            text += f", about {duration((epochs - run.epoch) * run.seconds)} to go in this phase"
        print_line(f"phase {run.phase}, epoch {run.epoch}/{epochs}: {text}")
        self.watch(means)
        if run.epoch % self.args.sample_every == 0 or run.epoch == epochs:
            self.samples()
            began = time.monotonic()
            if run.epoch == epochs or began >= self.show_from:
                self.plot()
                self.show()
                self.show_from = time.monotonic() + (time.monotonic() - began) / UPKEEP

    def ranked(self, row):
        """The style of an epoch of phase two and how it ranks so far, as a text; "" without one."""
        if row["phase"] != 2 or history.DRAWN not in row:
            return ""
        rows = history.read(self.folder / history.FILE)
        text = f"; style {history.with_error(row)}"
        best, _ = history.best(rows)
        if str(best["epoch"]) == str(row["epoch"]):
            return f"{text}, the highest so far"
        if str(row["epoch"]) in history.as_good(rows):
            return (
                f"{text}, within the error of the highest ({history.with_error(best)}, epoch {best['epoch']})"
            )
        return text

    def watch(self, means):
        """Warn once of each of two faults that the losses do not tell, by the `means` of an epoch."""
        if max(means.get("auc_result", 0), means.get("auc_result_back", 0)) > WON:
            more = ", or more --pre_train_epoch" if "pre_train_epoch" in self.args else ""
            self.warn(
                "the discriminator told over 99% of the patches of results from those of drawings for an "
                f"epoch: the generator may learn little from it; try a lower --lrD{more}"
            )
        if means.get("change_from_photo", FROZEN) < FROZEN:
            weight = "--con_lambda" if "con_lambda" in self.args else "--idt_lambda"
            self.warn(
                "the results differ from their photographs by less than a grey level of 255: try a lower "
                f"{weight}, a higher --lrG, or look whether photographs and drawings are the same"
            )

    def warn(self, text):
        """Say a warning that was not said yet."""
        if text not in self.warned:
            self.warned.add(text)
            report(f"warning: {text}")

    def tell_tensorboard(self, row):
        """Add a row of metrics.csv to TensorBoard's events."""
        for name in row.keys() - {"phase", "epoch"}:
            self.events.add_scalar(name, row[name], self.step(row["phase"], row["epoch"]))
        self.events.flush()

    def keep(self, generator, epoch):
        """Keep the generator after an epoch of phase two if it is one to keep, or the best so far."""
        file = checkpoints.generator_file(generator)
        if self.args.checkpoint_every and epoch % self.args.checkpoint_every == 0:
            checkpoints.save(self.folder / f"generator_{epoch}.pth", file)
        if not self.args.eval_every or epoch % self.args.eval_every:
            return
        best, column = history.best(history.read(self.folder / history.FILE)) or (None, None)
        if best and int(best["epoch"]) == epoch:
            notes = {"epoch": epoch, column: history.number(best[column])}
            notes["chosen_by"] = list(data.choosing(self.run.data.test_digests))
            checkpoints.save(self.folder / BEST, file | notes)
            self.run.saved = -math.inf  # the state follows: a kill must not leave the two apart

    def other_best(self):
        """What is said where generator_best.pth is of another epoch than metrics.csv tells; else "".

        A run that was killed does its last epochs again, and the file may be of one of them.
        """
        best, _ = history.best(history.read(self.folder / history.FILE)) or (None, None)
        try:
            file = checkpoints.load(self.folder / BEST)
            column = history.DRAWN if history.DRAWN in file else history.KID
            held = {key: file[key] for key in ("epoch", column)}
        except (WrongUse, KeyError, TypeError, IndexError):  # none, a damaged one, one of an earlier version
            return ""
        if best and all(history.number(best.get(key)) == value for key, value in held.items()):
            return ""
        epoch, value = held.values()
        measured = f"{history.NAMES[column]} {value:.4g}"
        return f"{BEST} is of epoch {epoch} at {measured}, from before the run was cut off"

    def samples(self):
        """Draw the samples, and thin those of earlier epochs."""
        run = self.run
        pictures = samples.draw(run)
        if run.phase == 2 and self.args.sample_keep:
            samples.thin(self.folder, self.args.sample_every, self.args.sample_keep)
        step = self.step(run.phase, run.epoch)
        self.events.add_image("samples", samples.grid(pictures), step, dataformats="HWC")

    def plot(self):
        """Draw the curves of metrics.csv into losses.png."""
        history.plot_losses(self.folder / history.FILE, self.folder / "losses.png")

    def show(self):
        """Write what was said into the log, and show all. No fault of a page ends a run."""
        while utils.unlogged:
            log_event(self.folder, "said", utils.unlogged.popleft())
        try:
            self.after_samples(self.folder)
        except Exception as error:
            self.warn(f"the pages could not be written: {first_line(error)}")

    def end(self, event, reason=""):
        """Log how the run ended."""
        self.show()
        if event == "stopped":
            self.plot()
        log_event(self.folder, event, reason)
        self.events.close()
        self.show()

    def finish(self):
        """Log that the run is finished, and print where its results lie."""
        self.end("finished")
        if text := history.best_text(history.read(self.folder / history.FILE)):
            other = self.other_best()
            print_line(f"{text}, but {other}" if other else f"{text}, in {BEST}")
        mean = (self.folder / "generator_ema.pth").is_file()
        weights = "generator_ema.pth" if mean else "generator_latest.pth"
        print_line(f"finished: open {self.folder / 'index.html'}; weights in {weights}")

    def __exit__(self, kind, error, _):
        stopped = isinstance(error, utils.Stopped)  # which is logged with its signal already
        if isinstance(error, (Exception, KeyboardInterrupt)) and not stopped:
            with contextlib.suppress(OSError):  # a full disk may be what ended the run
                self.end("stopped" if kind is KeyboardInterrupt else "failed", first_line(error))


def duration(seconds):
    """Seconds as a person says them: "3 h 20 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
