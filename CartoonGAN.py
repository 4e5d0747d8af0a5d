"""Train a CartoonGAN (Chen, Lai, Liu: CartoonGAN, CVPR 2018) on unpaired photographs and drawings.

    python CartoonGAN.py --name Paprika --src_data data/src_data --tgt_data data/tgt_data

Phase one trains the generator G as an auto-encoder of photographs under a content loss. Phase two trains it
against a discriminator D that learns to call drawings real, G's results and edge-smoothed drawings fake.
With --adv_lambda 0 there is no D: add a --style_lambda for style transfer as by Johnson et al. (ECCV 2016).
"""

import contextlib
import math
import sys
import time
from signal import Signals

import torch
from tqdm import tqdm

import losses
import networks
import utils
from evaluation import judge
from pictures import checkpoints, inference
from support import arguments
from training import datasets, folders, history, model, processes, samples
from utils import RunFailed, WrongUse, exit_status, first_line, say

# None: silent where the output is no terminal
BAR = {"unit": "image", "disable": None if processes.first() else True, "leave": False}
CHECK_EVERY = 20  # steps between looks at the losses, each of which waits for the GPU


# The method


def reconstruction_step(t, args, photo):
    """Phase one: G learns to keep the content of the photo (N,C,H,W in [-1, 1]). Returns the loss terms."""
    with t.autocast():
        result = t.parallel_generator(photo)
        content = content_loss(t, t.vgg(result), photo)
    update(t, t.adam_g, args.con_lambda * content)
    t.scaler.update()
    return {"content": content.detach()}


def adversarial_step(t, args, photo, drawing, smoothed):
    """Phase two: first D learns, then G through the D that has just learned. Returns the loss terms.

    G runs once. D sees drawings, results and smoothed drawings as one batch, which changes nothing: instance
    norm looks at each picture alone.
    """
    with t.autocast():
        result = t.parallel_generator(photo)

    shown = t.pool.exchange(result.detach(), (args.seed, datasets.POOL, t.phase, t.epoch, t.step))
    with t.autocast():
        on_drawing, on_result, on_smoothed = t.parallel_discriminator(
            torch.cat([drawing, shown, smoothed])
        ).chunk(3)
    discriminator = losses.discriminator(on_drawing, on_result, on_smoothed, args.gan_mode)
    update(t, t.adam_d, discriminator)
    watched = {"fakes_detected": losses.fakes_detected(on_result, args.gan_mode)}

    frozen = {name: weight.detach() for name, weight in t.discriminator.named_parameters()}
    with t.autocast():
        on_result = torch.func.functional_call(t.discriminator, frozen, result)
    adversarial = losses.adversarial(on_result, args.gan_mode)
    others, terms = perceptual_terms(t, args, result, photo, drawing)
    update(t, t.adam_g, args.adv_lambda * adversarial + others)
    t.scaler.update()
    return {"discriminator": discriminator.detach(), "adversarial": adversarial.detach(), **terms, **watched}


def perceptual_step(t, args, photo, drawing=None, _smoothed=None):
    """Phase two without a discriminator; only a style loss needs the drawings. Returns the loss terms."""
    with t.autocast():
        result = t.parallel_generator(photo)
    total, terms = perceptual_terms(t, args, result, photo, drawing)
    update(t, t.adam_g, total)
    t.scaler.update()
    return terms


def perceptual_terms(t, args, result, photo, drawing):
    """G's terms of phase two beside the adversarial one: (weighted sum, terms), without those of weight 0.

    Among the terms, how far the results are from their photographs.
    """
    style = networks.STYLE if args.style_lambda else ()
    content = networks.CONTENT if args.con_lambda else ()
    terms = []
    with t.autocast():
        maps = t.vgg.maps(result, style + content) if t.vgg else []
        if content:
            terms.append(("content", args.con_lambda, content_loss(t, maps.pop(), photo)))
        if style:
            with torch.no_grad():
                wanted = [processes.mean(losses.gram(x).mean(0)) for x in t.vgg.maps(drawing, style)]
            terms.append(("style", args.style_lambda, losses.style(maps, wanted)))
    if args.tv_lambda:
        terms.append(("total_variation", args.tv_lambda, losses.total_variation(result)))
    total = sum(weight * loss for _, weight, loss in terms)
    watched = {"change_from_photo": losses.change(result.detach(), photo)}
    return total, {name: loss.detach() for name, _, loss in terms} | watched


def content_loss(t, shown, photo):
    """How far `shown`, VGG19's conv4_4 features of a result, are from those of its photo."""
    with torch.no_grad():
        wanted = t.vgg(photo)
    return losses.content(shown, wanted)


def update(t, adam, loss):
    """One step of an optimiser down a loss; one that the scaler skips, as float16 overflowed, is counted."""
    adam.zero_grad(set_to_none=True)
    t.scaler.scale(loss).backward()
    taken = model.steps_taken(adam) if t.scaler.is_enabled() else None
    t.scaler.step(adam)
    if t.scaler.is_enabled():
        t.skipped += 1 - (model.steps_taken(adam) - taken)


def learning_rate_factor(policy, phase, epoch, epochs):
    """What the learning rate is multiplied by in an epoch (from 1) of a phase.

    "step": in phase two a tenth after one half of the epochs, a hundredth after three quarters. "linear": in
    both phases 1 for the first half, then evenly down towards 0.
    """
    if policy == "linear":
        constant = epochs // 2
        return 1 - max(0, epoch - constant) / (epochs - constant + 1)
    done = (epoch - 1) / epochs
    return 0.1 ** ((done >= 1 / 2) + (done >= 3 / 4)) if phase == 2 else 1


# The loop


def train(t, args, data, folder, settings, device, journal):
    """Train to the end, or to a signal; returns the exit status. `journal` is the first process's alone."""
    chosen = samples.choose(data, args, device) if processes.first() else []
    measure = None
    if args.eval_every and processes.first():
        measure = judge.in_training(t, args, data, device, settings["precision"])
    steps = len(data.photos) // args.batch_size
    saved = time.monotonic()
    with stop.Stop() as stop, contextlib.ExitStack() as ending:

        def pause():
            """Save if it is time; the number of the signal if the run must stop here."""
            nonlocal saved
            due = time.monotonic() - saved >= 60 * args.save_minutes
            asked = processes.highest(stop.received or due)  # a signal's number is higher than True
            if asked:
                save(t, folder, settings)
                saved = time.monotonic()
            return asked if asked > 1 else None

        for phase, epochs in ((1, args.pre_train_epoch), (2, args.train_epoch)):
            if t.phase > phase:
                continue
            # However the loop ends, its workers end with it: they ignore the signals of a plain exit.
            batches = ending.enter_context(contextlib.closing(training_batches(t, args, data, device)))
            while t.epoch <= epochs:
                set_learning_rates(t, args, epochs)
                began = time.monotonic() - t.seconds
                title = f"phase {phase}, epoch {t.epoch}/{epochs}"
                with tqdm(desc=title, initial=t.step, total=steps, unit_scale=args.batch_size, **BAR) as bar:
                    while t.step < steps:
                        t.unchecked.append(one_step(t, args, next(batches)))
                        t.step += 1
                        t.seconds = time.monotonic() - began
                        bar.update()
                        if t.step % CHECK_EVERY == 0:
                            check_losses(t)
                            bar.set_postfix({term: f"{total / t.step:.4f}" for term, total in t.sums.items()})
                        if signal := pause():
                            return stopped(folder, signal, journal)
                check_losses(t)
                t.seconds = time.monotonic() - began
                if journal:
                    journal.epoch(t, epochs, chosen, measure)
                t.epoch, t.step, t.seconds = t.epoch + 1, 0, 0.0
                t.sums.clear()
                if signal := pause():
                    return stopped(folder, signal, journal)
            batches.close()
            if phase == 1:
                t.phase, t.epoch = 2, 1
        save(t, folder, settings)
    if journal:
        journal.end("finished")
        if best := history.best(history.read(folder / "history.csv")):
            print(f"lowest KID: {best[history.KID]} after epoch {best['epoch']}, in generator_best.pth")
        print(f"finished: open {folder / 'index.html'}; weights in generator_latest.pth")
    return 0


def training_batches(t, args, data, device):
    """The stream of batches of the phase that `t` is in, from its epoch and step on."""
    drawings = len(data.pairs) if t.phase == 2 else 0
    channels = args.in_ngc, args.in_ndc
    dataset = datasets.TrainingImages(data.photos, data.pairs, args.input_size, args.resize, *channels)
    counts, place = (len(data.photos), drawings, args.batch_size), (t.phase, t.epoch, t.step)
    draws = map(processes.share, datasets.draws(*counts, args.seed, *place, args.independent_edges))
    workers = datasets.default_workers(device) if args.workers is None else args.workers
    return datasets.load_batches(dataset, draws, workers, device)


def one_step(t, args, batch):
    """The step of the phase that `t` is in. Returns the loss terms and what is counted beside them."""
    batch = [utils.to_range(image) for image in batch]
    phase_two = adversarial_step if t.discriminator else perceptual_step
    terms = (reconstruction_step if t.phase == 1 else phase_two)(t, args, *batch)
    if t.scaler.is_enabled():
        terms["skipped_steps"], t.skipped = t.skipped, 0
    return terms


def set_learning_rates(t, args, epochs):
    """Give the optimisers the rates of the epoch that `t` is in."""
    factor = learning_rate_factor(args.lr_policy, t.phase, t.epoch, epochs)
    rate_g = args.pre_lr if t.phase == 1 and args.pre_lr else args.lrG
    for adam, rate in ((t.adam_g, rate_g), (t.adam_d, args.lrD)):
        for group in adam.param_groups if adam else ():
            group["lr"] = rate * factor


def check_losses(t):
    """Add the losses since the last look to the epoch's sums. Raises RunFailed if one is not finite."""
    if not t.unchecked:
        return
    values = processes.mean(torch.stack([torch.stack([*terms.values()]) for terms in t.unchecked])).tolist()
    for step, row in enumerate(values, t.step - len(values) + 1):
        for term, value in zip(t.unchecked[0], row, strict=True):
            if not math.isfinite(value):
                raise RunFailed(
                    f"the {term} loss is {value} in phase {t.phase}, epoch {t.epoch}, step {step}: "
                    "the last saved state is untouched; try a lower learning rate, or --precision fp32"
                )
            t.sums[term] += value
    t.unchecked.clear()


def stopped(folder, signal, journal):
    """Tell how to go on; returns the exit status of a program that a signal ended."""
    if journal:
        journal.end("stopped", Signals(signal).name)
    say(f"stopped, everything is saved; go on with: {resuming(folder)}")
    return 128 + signal


def resuming(folder):
    """The command that goes on with a run, or begins it again where nothing was saved yet."""
    return arguments.command_line("CartoonGAN.py", ["--resume", str(folder)])


# Saving, and what goes wrong


def save(t, folder, settings):
    """Write the weights and the state, after a look at the losses. Raises RunFailed if one is not finite."""
    check_losses(t)
    pool = [processes.gather(batch) for batch in t.pool.batches]
    if processes.first():
        checkpoints.save_run(folder, t, pool, settings)


def already_done(t, args, folder):
    """Tell that a run has nothing left to do; returns the exit status. Raises WrongUse if it did more."""
    done = f"{t.epoch - 1} epochs of phase two are done"
    if t.epoch - 1 > args.train_epoch:
        raise WrongUse(f"{folder}: {done}, more than --train_epoch {args.train_epoch}")
    if processes.first():
        print(f"{folder}: nothing to do, all {done}; train longer with --train_epoch N")
    return 0


@contextlib.contextmanager
def explained(device, folder):
    """Turn what can go wrong around the program into RunFailed; `folder` is the run's."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = f"{first_line(error)}{where}: mend that, then go on with {resuming(folder)}"
    except (RuntimeError, MemoryError) as error:
        if inference.is_out_of_memory(error):
            reason = f"out of memory on {device}: try a smaller --batch_size, --input_size or --ngf"
        elif "DataLoader worker" in str(error):
            reason = "a process that loads images was killed (out of memory?): try --workers 0"
        elif processes.lost(error):
            reason = f"another of the processes is gone, or cannot be reached ({first_line(error)})"
        else:
            raise
    else:
        return
    raise RunFailed(reason)


def main(argv=None):
    args, given, folder, earlier, state = folders.find(argv)
    if args.batch_size % processes.count():
        raise WrongUse(f"--batch_size {args.batch_size} cannot be shared by {processes.count()} processes")
    device = utils.choose_device(args.device)
    precision = utils.choose_precision(args.precision, device)
    torch.backends.cudnn.benchmark = True
    datasets.find(args, model.needs_drawings(args))  # what is wrong there is told before anything slow
    with explained(device, folder), processes.together(device):
        t = model.build(args, device, precision)
        if not state:
            model.start_from_weights(t, args)
        data = processes.from_first(lambda: datasets.prepare(args, model.needs_drawings(args)))
        with folders.held(folder) if processes.first() else contextlib.nullcontext():
            if state:
                checkpoints.restore_state(folder / "state_latest.pth", t, state)
                if t.phase == 2 and t.epoch > args.train_epoch:
                    return already_done(t, args, folder)
            settings = folders.settings(args, given, earlier, argv, device, precision, data.record)
            journal = None
            if processes.first():
                if earlier:
                    history.cut(folder / "history.csv", t.phase, t.epoch)
                folders.write_settings(folder, settings)
                folders.introduce(folder, settings, (t.phase, t.epoch, t.step) if earlier else None)
                journal = journal.Journal(folder, args, settings["commands"][-1], (t.phase, t.epoch))
            with journal or contextlib.nullcontext(), explained(device, folder):
                return train(t, args, data, folder, settings, device, journal)


if __name__ == "__main__":
    sys.exit(exit_status(main))
