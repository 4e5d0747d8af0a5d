"""A run at work: its place in the schedule, its data, and what happens after each step and each epoch."""

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
from training.failures import another_try, one_line_errors, resuming, traced
from training.folder import find_run, lock_run
from training.journal import Journal
from training.options import CARTOONGAN
from training.signals import Signals
from utils import RunFailed, Stopped, WrongUse, is_first

# None: silent where the output is no terminal
BAR = {"unit": "image", "disable": None if is_first() else True, "leave": False}
OVERFLOWS = 25  # steps of float16 in a row whose loss may be not finite: the scaler left them out
CHECK_EVERY = 20  # steps between looks at the losses, each of which waits for the GPU


@contextlib.contextmanager
def open_run(argv=None, method=CARTOONGAN):
    """Open the run that a command line asks for; the end of the block without an error finishes it.

    `method` is a config.Method. Raises WrongUse as find_run does, Stopped after a signal, and RunFailed for
    what can go wrong around the program: memory, disks, other processes.
    """
    config = find_run(argv, method)
    if config.args.batch_size % processes.count():
        size, count = config.args.batch_size, processes.count()
        raise WrongUse(f"--batch_size {size} cannot be shared by {count} processes")
    device = utils.choose_device(config.args.device)
    with (
        preview.place(config) as config,
        traced(config),
        one_line_errors(device, config),
        processes.init_distributed(device),
        contextlib.ExitStack() as stack,
    ):
        run = (Preview if config.preview else Run)(config, device, stack)
        yield run
        run.finish()


class Run:
    """A run of training, in this order: `restore`, `load_data`, `begin`, `batches` of each phase.

    `phase`, `epoch` and `step` say what comes next. All that the first process alone does, it does in here.
    """

    def __init__(self, config, device, stack):
        self.config, self.args, self.folder = config, config.args, config.folder
        self.device, self.precision = device, utils.choose_precision(self.args.precision, device)
        self.stack = stack  # what must be closed at the end
        self.phase, self.epoch, self.step = 1, 1, 0
        # Of the epoch: the sums of its terms, over how many steps, and its time.
        self.sums, self.counts = collections.Counter(), collections.Counter()
        self.seconds = 0.0
        self.unchecked = []  # the loss terms of the steps since the last look at them
        self.overflows = 0  # such steps up to the last look
        self.journal = None  # the first process's alone

    @property
    def place(self):
        """(phase, epoch, step) of the step that comes next."""
        return self.phase, self.epoch, self.step

    def restore(self, model):
        """Take a model to where the run stopped, or give a new run the weights that the options name.

        A model says by the names of its fields what it holds: its `networks`, the first of them a generator,
        the `generators` that a sample passes one after the other, its `optimisers` and its `pools`.
        Raises WrongUse where they do not fit, and Stopped if there is nothing left to do.
        """
        self.model, path = model, self.folder / STATE
        if not self.config.earlier or not path.exists():
            if "latest_generator_model" in self.args and state.start_from_weights(model, self.args):
                self.phase = 2
            return
        state.restore(self, path)
        if self.phase == 2 and self.epoch > self.args.train_epoch:
            done = f"{self.epoch - 1} epochs of phase two are done"
            if self.epoch - 1 > self.args.train_epoch:
                raise WrongUse(f"{self.folder}: {done}, more than --train_epoch {self.args.train_epoch}")
            text = f"{self.folder}: nothing to do, all {done}, whatever else is asked for"
            raise Stopped(f"{text}; train longer with --train_epoch N", status=0)

    def load_data(self, make_pairs=None):
        """Read the photographs and drawings through; `make_pairs` makes the edge-smoothed copies, if any."""
        fewest = self.config.method.fewest_drawings(self.args)
        prepare = lambda: data.prepare(self.args, fewest, make_pairs)
        self.data = processes.from_first(prepare)
        self.steps = len(self.data.photos) // self.args.batch_size

    def begin(self, learning_rates, make_measure, after_samples):
        """Hold the folder, write down what the run is, and be ready for `batches`.

        `learning_rates(args, phase, epoch)` gives the rate of each optimiser by its name in the model;
        `make_measure(run)` a function that measures the generator, for --eval_every; `after_samples(folder)`
        is called whenever samples were drawn.
        """
        self.learning_rates = learning_rates
        self.signals = Signals()
        # When the journal is closed: if another process fails, torchrun's SIGTERM must not cut its last line.
        self.stack.callback(self.signals.restore)
        if is_first():
            self.stack.enter_context(lock_run(self.folder))
        record = self.data.record
        self.settings = make_settings(self.config, self.device, self.precision, record, self.place)
        self.signals.listen()  # the rest can take a minute; stopped there, a run saves after one step
        if is_first():
            if self.config.earlier:
                history.cut(self.folder / history.FILE, self.phase, self.epoch)
            write_settings(self.folder, self.settings)
            print_settings(self.config, self.settings, self.place if self.config.earlier else None)
            self.journal = self.stack.enter_context(Journal(self, after_samples))
        self.stack.enter_context(one_line_errors(self.device, self.config))
        if is_first():
            self.photos = samples.choose(self.data, self.args, self.device)
            self.measure = make_measure(self) if self.args.eval_every else None
        self.saved = time.monotonic()

    def batches(self, phase, epochs):
        """Yield the batches of a phase, from the run's place on; each must be followed by `log_step`.

        A batch is a list of float32 N,C,H,W in [-1, 1]: a photo, and in phase two, where a loss looks at
        drawings, a drawing, and the smoothed drawing if there is one. A method of one phase has phase two
        alone. Raises Stopped after a signal, when all is saved.
        """
        if self.phase > phase:
            return
        self.phase = phase
        # However the loop ends, its workers end with it: they ignore the signals of a plain exit.
        loaded = load_batches(*training_batches(self), self.args.workers, self.device)
        loaded = self.stack.enter_context(contextlib.closing(loaded))
        while self.epoch <= epochs:
            self._set_learning_rates()
            began = time.monotonic() - self.seconds
            title = f"phase {phase}, epoch {self.epoch}/{epochs}"
            size = self.args.batch_size
            with tqdm(desc=title, initial=self.step, total=self.steps, unit_scale=size, **BAR) as bar:
                while self.step < self.steps:
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
                self.journal.epoch(epochs)
            self.epoch, self.step, self.seconds = self.epoch + 1, 0, 0.0
            self.sums.clear(), self.counts.clear()
            self._save_if_due()
        loaded.close()
        if phase == 1:
            self.phase, self.epoch = 2, 1

    def log_step(self, terms):
        """Note the loss terms of the step just taken, {name: tensor}."""
        if self.model.ema and self.phase == 2:
            self.model.ema.update_parameters(self.model.generator)
        if self.model.scaler.is_enabled():
            terms["skipped_steps"], self.model.scaler.skipped = self.model.scaler.skipped, 0
        self.unchecked.append(terms)

    def means(self):
        """The mean of each term over the epoch's steps so far, as far as they were looked at."""
        return {term: total / self.counts[term] for term, total in self.sums.items()}

    def finish(self):
        """Save, and tell that the run is finished."""
        self._save()
        if is_first():
            self.journal.finish()

    def _set_learning_rates(self):
        for name, rate in self.learning_rates(self.args, self.phase, self.epoch).items():
            for group in getattr(self.model, name).param_groups if getattr(self.model, name) else ():
                group["lr"] = rate

    def _check_losses(self):
        """Add the losses since the last look to the epoch's sums.

        A step of float16 with one that is not finite is left out. Raises RunFailed after OVERFLOWS of them in
        a row, in another precision after one, and where a weight is not finite.
        """
        if not self.unchecked:
            return
        overflowed = False
        rows = torch.stack([torch.stack([*terms.values()]) for terms in self.unchecked])
        rows = processes.mean(rows).tolist()
        for step, row in enumerate(rows, self.step - len(rows) + 1):
            terms = dict(zip(self.unchecked[0], row, strict=True))
            lost = [term for term, value in terms.items() if not math.isfinite(value)]
            self.overflows = self.overflows + 1 if lost else 0
            overflowed |= bool(lost)
            if lost and (self.overflows == OVERFLOWS or not self.model.scaler.is_enabled()):
                often = f", the {OVERFLOWS}th in a row" if self.overflows == OVERFLOWS else ""
                raise RunFailed(
                    f"the {lost[0]} loss is {terms[lost[0]]} in phase {self.phase}, epoch {self.epoch}, "
                    f"step {step}{often}: {another_try(self)}"
                )
            for term, value in terms.items():
                if not lost or term == "skipped_steps":
                    self.sums[term] += value
                    self.counts[term] += 1
        self.unchecked.clear()
        if overflowed:
            state.check_weights(self)

    def _save_if_due(self):
        """Save if it is time. Raises Stopped if a signal came."""
        due = time.monotonic() - self.saved >= 60 * self.args.save_minutes
        stop = self.signals.received or (utils.unread and signal.SIGPIPE)
        due = processes.highest(1 + stop if stop else due)  # a signal's number starts at 1, as True is
        if not due:
            return
        self._save()
        self.saved = time.monotonic()
        if due > 1:
            number = signal.Signals(due - 1)
            if is_first():
                self.journal.end("stopped", number.name)
            why = " because nobody reads the output" if number == signal.SIGPIPE else ""
            text = f"stopped{why}, everything is saved; resume with: {resuming(self.config)}"
            raise Stopped(text, status=128 + number)

    def _save(self):
        """Write weights and state, after a look at the losses. Raises RunFailed if one is not finite."""
        self._check_losses()
        pools = {
            name: [processes.gather_in_first(batch) for batch in getattr(self.model, name).batches]
            for name in self.model.pools
        }
        if is_first():
            state.save(self, pools)


class Preview(Run):
    """Some steps of each phase of a run, with the samples after them, to report what the run would cost."""

    def load_data(self, make_pairs=None):
        super().load_data(make_pairs)
        self.phases, self.whole = [], self.steps
        self.steps = min(self.steps, preview.WARM + preview.MEASURED)

    def batches(self, phase, epochs):
        warm, done = min(preview.WARM, self.steps - 1), None
        for batch in super().batches(phase, min(epochs, 1)):
            if self.step == warm:
                self._check_losses()  # which waits for the GPU
                began = time.monotonic()
            yield batch
            if self.step == self.steps - 1:
                self._check_losses()
                done = time.monotonic()
        if done:
            step = (done - began) / (self.steps - warm)
            self.phases.append(preview.Phase(phase, epochs, step, time.monotonic() - done))

    def finish(self):
        if not is_first():
            return
        began = time.monotonic()
        measured = self.measure and self.measure()
        seconds = time.monotonic() - began if measured else None
        print("\n".join(preview.summary(self.args, self.device, self.phases, self.whole, seconds)))
        self.journal.events.close()

    def _save_if_due(self):
        if number := processes.highest(self.signals.received or 0):
            raise Stopped("stopped; nothing is kept of a preview", status=128 + number)
