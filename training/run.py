"""A run of training from start to end: resume, load the data, train batch by batch, record, save, stop."""

import collections
import contextlib
import math
import signal
import time

import torch
from tqdm import tqdm

import utils
from training import data, history, preview, processes, samples, state
from training.batches import load_batches, training_batches
from training.config import STATE, make_settings, print_settings, write_settings
from training.failures import advice_after_nan, log_tracebacks, one_line_errors, resume_command
from training.folder import find_run, lock_run
from training.journal import Journal
from training.options import CARTOONGAN
from training.processes import Signals
from utils import RunFailed, Stopped, WrongUse, is_first

# disable=None: no bar where the output is not a terminal
BAR = {"unit": "image", "disable": None if is_first() else True, "leave": False}
OVERFLOWS = 25  # steps in a row that float16 may skip because their loss is not finite
CHECK_EVERY = 20  # steps between checks of the losses, each of which waits for the GPU


@contextlib.contextmanager
def open_run(argv=None, method=CARTOONGAN):
    """Open the Run that a command line asks for; finish it when the block ends without an error.

    `method` is a config.Method. Raises WrongUse as find_run does, Stopped after a signal, and RunFailed for
    failures of memory, disks or other processes.
    """
    config = find_run(argv, method)
    size, count = config.args.batch_size, processes.count()
    if size % count:
        raise WrongUse(f"--batch_size {size} cannot be shared by {count} processes")
    device = utils.choose_device(config.args.device)
    with (
        preview.in_temporary_folder(config) as config,
        log_tracebacks(config),
        one_line_errors(device, config),
        processes.init_distributed(device),
        contextlib.ExitStack() as stack,
    ):
        run = Run(config, device, stack)
        yield run
        run.finish()


class Run:
    """A run of training: `start` it, train on the `batches` of each phase, then `finish`.

    `phase`, `epoch` (from 1) and `step` (from 0) are those of the next step; in a loop over `batches`, of the
    step in progress. Every process has a Run; only the first prints and writes.
    """

    def __init__(self, config, device, stack):
        self.config, self.args, self.folder = config, config.args, config.folder
        self.device, self.precision = device, utils.choose_precision(self.args.precision, device)
        self.stack = stack  # what must be closed at the end
        self.phase, self.epoch, self.step = 1, 1, 0
        # Of this epoch: the sum of each loss term, the number of steps in it, and the seconds.
        self.sums, self.counts = collections.Counter(), collections.Counter()
        self.seconds = 0.0
        self.unchecked = []  # what log_step was given since the last check
        self.overflows = 0  # how many of the last steps in a row had a loss that is not finite
        self.journal = None  # of the first process
        # `start` adds model, data, steps_per_epoch, learning_rates, settings, signals, saved, photos, measure

    @property
    def place(self):
        """(phase, epoch, step)."""
        return self.phase, self.epoch, self.step

    def start(self, model, learning_rates, make_pairs=None, *, make_measure, after_samples):
        """Restore the model, read the data, lock the folder and record the settings.

        A model has `scaler`, `autocast`, and `vgg` and `ema` or None, and declares by name its `networks`,
        the first of them a generator; `generators`, applied in turn to draw a sample; `optimisers`,
        the generator's first; `pools`; and the option `content_weight`. `learning_rates(args, phase, epoch)`
        gives the rate of each optimiser by its name in the model; `make_pairs` is that of edge_promoting, or
        None for drawings alone; `make_measure(run)` makes the function that measures the generator;
        `after_samples(folder)` is called after samples were drawn. Raises WrongUse where the saved state does
        not fit, and Stopped if there is nothing left to do.
        """
        self.model, self.learning_rates = model, learning_rates
        self._restore()
        fewest = self.config.method.fewest_drawings(self.args)
        self.data = processes.from_first(lambda: data.prepare(self.args, fewest, make_pairs))
        self.steps_per_epoch = len(self.data.photos) // self.args.batch_size
        if is_first():
            self.stack.enter_context(lock_run(self.folder))
        record = self.data.record
        self.settings = make_settings(self.config, self.device, self.precision, record, self.place)
        # What follows can take a minute; after a signal during it, the run stops after one step.
        self.signals = self.stack.enter_context(Signals())
        if is_first():
            if self.config.earlier:
                history.cut(self.folder / history.FILE, self.phase, self.epoch)
            write_settings(self.folder, self.settings)
            print_settings(self.config, self.settings, self.place if self.config.earlier else None)
            self.journal = self.stack.enter_context(Journal(self, after_samples))
        self.stack.enter_context(one_line_errors(self.device, self.config))  # the journal logs the one line
        if is_first():
            self.photos = samples.choose(self.data, self.args, self.device)
            self.measure = make_measure(self) if self.args.eval_every else None
        self.saved = time.monotonic()

    def _restore(self):
        """Restore the model to where the run stopped, or start from the weights that the options name."""
        path = self.folder / STATE
        if not self.config.earlier or not path.exists():
            if "latest_generator_model" in self.args and state.start_from_weights(self.model, self.args):
                self.phase = 2
            return
        state.restore(self, path)
        if self.phase == 2 and self.epoch > self.args.train_epoch:
            done, planned = self.epoch - 1, self.args.train_epoch
            if done > planned:
                raise WrongUse(
                    f"{self.folder}: {done} epochs of phase two are done, more than --train_epoch {planned}; "
                    f"resume with --resume {self.folder}, or --train_epoch N of at least {done}"
                )
            text = f"{self.folder}: already finished ({done} epochs); train longer with --train_epoch N"
            raise Stopped(text, status=0)

    def batches(self, phase, epochs):
        """Yield the batches of a phase, from the run's place on; call `log_step` after each.

        A batch is a list of float32 N,C,H,W in [-1, 1]: a photo, and in phase two, if a loss uses drawings, a
        drawing, and its smoothed copy if there is one. Single-phase methods use phase 2. Raises Stopped after
        a signal, when everything is saved.
        """
        if self.phase > phase:
            return
        self.phase = phase
        if self.config.preview:
            epochs = 2 * min(epochs, 1)
        # Close the workers however the loop ends: they ignore SIGTERM, which PyTorch sends them at exit.
        loaded = load_batches(*training_batches(self), self.args.workers, self.device)
        loaded = self.stack.enter_context(contextlib.closing(loaded))
        while self.epoch <= epochs:
            steps = self.steps_per_epoch
            if self.config.preview:
                steps = min(steps, preview.STEPS[self.epoch - 1])
            self._set_learning_rates()
            began = time.monotonic() - self.seconds
            title = f"phase {phase}, epoch {self.epoch}/{epochs}"
            size = self.args.batch_size
            with tqdm(desc=title, initial=self.step, total=steps, unit_scale=size, **BAR) as bar:
                while self.step < steps:
                    yield [utils.to_range(image) for image in next(loaded)]
                    self.step += 1
                    self.seconds = time.monotonic() - began
                    bar.update()
                    if self.step % CHECK_EVERY == 0:
                        self._check_losses()
                        bar.set_postfix({term: f"{mean:.4f}" for term, mean in self.means().items()})
                    self._save_if_due()
            self._check_losses()
            self.seconds = time.monotonic() - began
            if is_first():
                self.journal.record_epoch(epochs)
            self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
            self.sums.clear(), self.counts.clear()
            self._save_if_due()
        loaded.close()
        if phase == 1:
            self.phase, self.epoch = 2, 1

    def log_step(self, terms):
        """Record the losses and measurements of a step, {name: tensor}, and whether float16 skipped it."""
        if self.model.scaler.is_enabled():
            terms["skipped_steps"], self.model.scaler.skipped = self.model.scaler.skipped, 0
        self.unchecked.append(terms)

    def means(self):
        """The mean of each term over the checked steps of this epoch."""
        return {term: total / self.counts[term] for term, total in self.sums.items()}

    def finish(self):
        """Save, and record that the run is finished; a preview reports its figures instead."""
        if self.config.preview:
            if is_first():
                print("\n".join(preview.summary(self)))
                self.journal.events.close()
            return
        self._save()
        if is_first():
            self.journal.finish()

    def _set_learning_rates(self):
        for name, rate in self.learning_rates(self.args, self.phase, self.epoch).items():
            optimiser = getattr(self.model, name)
            for group in optimiser.param_groups if optimiser else ():
                group["lr"] = rate

    def _check_losses(self):
        """Add the losses since the last check to the epoch's sums, without steps that float16 skipped.

        Raises RunFailed for a loss that is not finite; with a float16 scaler, for OVERFLOWS of them in a row.
        """
        if not self.unchecked:
            return
        rows = torch.stack([torch.stack([*terms.values()]) for terms in self.unchecked])
        for step, values in enumerate(processes.mean(rows).tolist(), self.step - len(rows) + 1):
            terms = dict(zip(self.unchecked[0], values, strict=True))
            bad = next((term for term, value in terms.items() if not math.isfinite(value)), None)
            self.overflows = self.overflows + 1 if bad else 0
            if bad and (self.overflows == OVERFLOWS or not self.model.scaler.is_enabled()):
                often = f", the {OVERFLOWS}th in a row" if self.overflows == OVERFLOWS else ""
                raise RunFailed(
                    f"the {bad} loss is {terms[bad]} in phase {self.phase}, epoch {self.epoch}, "
                    f"step {step}{often}: {advice_after_nan(self)}"
                )
            if bad:
                terms = {"skipped_steps": terms["skipped_steps"]}
            self.sums.update(terms)
            self.counts.update([*terms])
        self.unchecked.clear()

    def _save_if_due(self):
        """Save if it is time, or a signal came. Raises Stopped after a signal."""
        stop = self.signals.received or (signal.SIGPIPE if utils.unread else 0)
        due = time.monotonic() - self.saved >= 60 * self.args.save_minutes
        stop, due = processes.highest(stop, due)
        if stop and self.config.preview:
            raise Stopped("stopped; a preview keeps nothing", status=128 + stop)
        if (stop or due) and not self.config.preview:
            self._save()
            self.saved = time.monotonic()
        if stop:
            if is_first():
                self.journal.end("stopped", signal.Signals(stop).name)
            why = " because nobody reads the output" if stop == signal.SIGPIPE else ""
            text = f"stopped{why}, everything is saved; resume with: {resume_command(self.config)}"
            raise Stopped(text, status=128 + stop)

    def _save(self):
        """Check the losses, then write weights and state. Raises RunFailed if a number is not finite."""
        self._check_losses()
        pools = {
            name: [processes.gather(batch).cpu() for batch in getattr(self.model, name).batches]
            for name in self.model.pools
        }
        if is_first():
            state.save(self, pools)
