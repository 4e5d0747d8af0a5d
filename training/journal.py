"""What a run records as it trains: metrics, warnings, log, TensorBoard events, kept checkpoints, samples."""

import contextlib
import math
import threading
import time

from torch.utils.tensorboard import SummaryWriter

import utils
from pictures import checkpoints
from training import data, history, samples
from training.log import log_event
from training.steps import shown_generator
from utils import WrongUse, first_line, print_line, report

HIGH_AUC = 0.99  # above this AUC the discriminator separates real pictures from results almost always
SMALL_CHANGE = 1  # grey levels of 255; below this the results hardly differ from their photographs
PAGES_SHARE = 0.05  # the share of a run's time that the plot and the pages may take
BEST = "generator_best.pth"


class Journal(contextlib.AbstractContextManager):
    """The records of a run.Run, in its first process; as a context it logs how the run ends.

    `after_samples(folder)` is called whenever there is something new to show.
    """

    def __init__(self, run, after_samples):
        self.run, self.folder, self.args = run, run.folder, run.args
        self.after_samples, self.warned = after_samples, set()
        self.pages_from = 0  # the time before which the plot and the pages are not written again
        log_event(self.folder, "started", run.settings["commands"][-1])
        if stale := self.stale_best():
            self.warn(stale)
        threading.excepthook = _print_unless_disk
        # Events that a killed process wrote from here on are purged.
        self.events = SummaryWriter(self.folder, purge_step=self.step)
        self.write_pages()

    @property
    def step(self):
        """The number of the run's epoch, counted over both phases."""
        before = vars(self.args).get("pre_train_epoch", 0) if self.run.phase == 2 else 0
        return before + self.run.epoch

    def record_epoch(self, epochs):
        """Record the epoch, of `epochs`, that the run has just finished.

        Write its row and its events and, if they are due, the generator and the samples. The plot and the
        pages take longer with each epoch: before the end of a phase they are written only within PAGES_SHARE.
        """
        run, file = self.run, self.folder / history.FILE
        means = run.means()
        if "skipped_steps" in means:
            means["skipped_steps"] = round(run.sums["skipped_steps"])
        speed = run.step * self.args.batch_size / run.seconds
        row = {"phase": run.phase, "epoch": run.epoch, **means}
        row |= {"seconds": round(run.seconds, 3), "images_per_second": round(speed, 3)}
        row |= {"learning_rate": getattr(run.model, run.model.optimisers[0]).param_groups[0]["lr"]}
        measures = run.measure() if run.measure and run.epoch % self.args.eval_every == 0 else {}
        row |= {f"measured_{key}" if key in row else key: value for key, value in measures.items()}
        history.add(file, row)
        for name in row.keys() - {"phase", "epoch"}:
            self.events.add_scalar(name, row[name], self.step)
        self.events.flush()
        best = history.best(history.read(file)) if measures and run.phase == 2 else None
        self.keep_generator(best)
        text = ", ".join(f"{term} {value:.4f}" for term, value in means.items())
        text += f"; {run.seconds:.1f} s, {speed:.1f} images/s"
        if best and history.DRAWN in row:
            text += f"; {history.rank(row, best)}"
        if run.epoch < epochs:
            text += f", about {duration((epochs - run.epoch) * run.seconds)} left in this phase"
        print_line(f"phase {run.phase}, epoch {run.epoch}/{epochs}: {text}")
        self.warn_of_faults(means)
        if run.epoch % self.args.sample_every == 0 or run.epoch == epochs:
            self.draw_samples()
            began = time.monotonic()
            if run.epoch == epochs or began >= self.pages_from:
                history.plot_losses(self.folder)
                self.write_pages()
                self.pages_from = time.monotonic() + (time.monotonic() - began) / PAGES_SHARE

    def keep_generator(self, best):
        """Save the generator of an epoch of phase two if --checkpoint_every says so, or if it is the best."""
        if self.run.phase != 2:
            return
        epoch, generator = self.run.epoch, shown_generator(self.run.model)
        if self.args.checkpoint_every and epoch % self.args.checkpoint_every == 0:
            checkpoints.save(self.folder / f"generator_{epoch}.pth", checkpoints.generator_file(generator))
        if best and best.epoch == epoch:
            notes = {"epoch": epoch, best.column: best.value}
            notes["chosen_by"] = list(data.choosing(self.run.data.test_digests))
            checkpoints.save(self.folder / BEST, checkpoints.generator_file(generator) | notes)
            self.run.saved = -math.inf  # save the state next, so that a kill hardly ever separates the two

    def stale_best(self):
        """What to report if generator_best.pth is not from the best epoch in metrics.csv; else "".

        A run that was killed trains its last epochs again, and the file may be from one of them.
        """
        best = history.best(history.read(self.folder / history.FILE))
        try:
            file = checkpoints.load(self.folder / BEST)
            column = history.DRAWN if history.DRAWN in file else history.KID
            epoch, value = file["epoch"], file[column]
        except (WrongUse, KeyError, TypeError, IndexError):  # none, damaged, or from an earlier version
            return ""
        if best and (best.epoch, best.column, best.value) == (epoch, column, value):
            return ""
        name = history.NAMES[column]
        return f"{BEST} is from epoch {epoch} with {name} {value:.4g}, saved before the run was interrupted"

    def warn_of_faults(self, means):
        """Warn once of each of two faults that the losses do not show, by the `means` of an epoch."""
        if max((value for key, value in means.items() if key.startswith("auc_result")), default=0) > HIGH_AUC:
            more = ", or more --pre_train_epoch" if "pre_train_epoch" in self.args else ""
            self.warn(
                "the discriminator distinguished over 99% of the patches of results from real ones for an "
                f"epoch: the generator may learn little from it; try a lower --lrD{more}"
            )
        if means.get("change_from_photo", SMALL_CHANGE) < SMALL_CHANGE:
            self.warn(
                "the results differ from their photographs by less than one grey level of 255: try a lower "
                f"--{self.run.model.content_weight}, a higher --lrG, or check whether photographs and "
                "drawings are the same"
            )

    def warn(self, text):
        """Report a warning unless it was reported before."""
        if text not in self.warned:
            self.warned.add(text)
            report(f"warning: {text}")

    def draw_samples(self):
        """Draw the samples, and remove some from earlier epochs."""
        pictures = samples.draw(self.run)
        if self.run.phase == 2 and self.args.sample_keep:
            for path in samples.removable(self.folder, self.args.sample_every, self.args.sample_keep):
                path.unlink()
        self.events.add_image("samples", samples.grid(pictures), self.step, dataformats="HWC")

    def write_pages(self):
        """Log what was reported, and call `after_samples`. A fault of the pages does not end a run."""
        while utils.unlogged:
            log_event(self.folder, "reported", utils.unlogged.popleft())
        try:
            self.after_samples(self.folder)
        except Exception as error:
            self.warn(f"the pages could not be written: {first_line(error)}")

    def end(self, event, reason=""):
        """Log how the run ended."""
        self.write_pages()
        if event == "stopped":
            history.plot_losses(self.folder)
        log_event(self.folder, event, reason)
        self.events.close()
        self.write_pages()

    def finish(self):
        """Log that the run is finished, and print where its results are."""
        self.end("finished")
        if best := history.best(history.read(self.folder / history.FILE)):
            stale = self.stale_best()
            print_line(f"{best}, but {stale}" if stale else f"{best}, in {BEST}")
        mean = (self.folder / "generator_ema.pth").is_file()
        weights = "generator_ema.pth" if mean else "generator_latest.pth"
        print_line(f"finished: open {self.folder / 'index.html'}; weights in {weights}")

    def __exit__(self, kind, error, _):
        stopped = isinstance(error, utils.Stopped)  # logged with its signal already
        if isinstance(error, (Exception, KeyboardInterrupt)) and not stopped:
            with contextlib.suppress(OSError):  # a full disk may be what ended the run
                self.end("stopped" if kind is KeyboardInterrupt else "failed", first_line(error))


def _print_unless_disk(failed):
    """Print the traceback of a thread, except for disk errors in TensorBoard's: the run raises them too."""
    if not issubclass(failed.exc_type, OSError):
        threading.__excepthook__(failed)


def duration(seconds):
    """Seconds as a text: "3 h 20 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
