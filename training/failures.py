"""What can go wrong in and around a run, reported in one line with the command that resumes it."""

import contextlib
import errno
import sys

from pictures.inference import is_out_of_memory
from support.arguments import command_line
from training import processes
from training.config import FILE, STATE
from training.log import LOG, log_traceback
from utils import RunFailed, Stopped, WrongUse, first_line

KILLED = "a process that loads images was killed (out of memory?): try fewer --workers, or --workers 0"
MORE_SHARED = "docker run --shm-size=2g, or --ipc=host, gives a container more"


def resuming(config, *options):
    """The command that resumes a run, or where nothing was saved yet starts it again, with more `options`.

    `config` is a config.RunConfig.
    """
    begun = any((config.folder / name).exists() for name in (FILE, STATE))
    argv = ["--resume", str(config.folder)] if begun else sys.argv[1:] if config.argv is None else config.argv
    return command_line(config.method.name, [*argv, *options])


def another_try(run):
    """What to do after a loss or a weight that is not finite, as the end of a sentence."""
    args = run.args
    rates = {"lrG": args.lrG} | ({"lrD": args.lrD} if run.phase == 2 and run.model.discriminator else {})
    if run.phase == 1 and args.pre_lr:
        rates = {"pre_lr": args.pre_lr}
    lower = [word for key, rate in rates.items() for word in (f"--{key}", f"{rate / 10:g}")]
    wider = "" if run.precision == "fp32" else ", or with --precision fp32"
    return f"the last saved state is untouched; resume with {resuming(run.config, *lower)}{wider}"


def of_loading(error):
    """The reason to report for an error in the processes that load images, or between them; None for others.

    Such a process passes its error on with its traceback as text; the last line is its type and message.
    """
    text = str(error)
    last = (text.strip().splitlines() or [""])[-1]
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename  # a semaphore
    if full or any(words in text for words in ("shared memory", "(shm)", "</torch_")):
        return f"shared memory (/dev/shm) is full: take fewer --workers, 0 needs none; {MORE_SHARED}"
    if isinstance(error, RunFailed):
        return last.removeprefix(f"{RunFailed.__module__}.{RunFailed.__name__}: ")
    handing_over = isinstance(error, EOFError) and not text
    if handing_over or "killed by signal" in text or "exited unexpectedly" in text:
        return KILLED
    if "DataLoader worker" not in text:
        return None
    if is_out_of_memory(error) or "Cannot allocate memory" in last:
        return "no memory is left for a process that loads images: try fewer --workers, or --workers 0"
    if isinstance(error, OSError):
        return f"a process that loads images failed ({last}): fix that, then resume with --resume"
    return None


@contextlib.contextmanager
def one_line_errors(device, config):
    """Turn what can go wrong around the program into RunFailed; `config` is the run's config.RunConfig."""
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if reason := _reason(error, device, config):
            raise RunFailed(reason) from error
        raise


def _reason(error, device, config):
    if isinstance(error, ConnectionError):  # to a loading process; the pages may have been told of its end
        return KILLED
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return (
            f"{first_line(error)}{where}: fix that (traceback in {LOG}), then resume with {resuming(config)}"
        )
    if is_out_of_memory(error):
        return f"out of memory on {device}: {_smaller(config)}"
    if "DataLoader worker" in str(error) and (reason := of_loading(error)):  # raised by a signal, anywhere
        return reason
    if processes.lost(error):
        return f"another of the processes is gone, or cannot be reached ({first_line(error)})"
    return None


def _smaller(config):
    """The command with half of the batch, or what else takes less memory."""
    each = config.args.batch_size // processes.count() // 2
    if not each:
        return "start a new run with a smaller --input_size or --ngf"
    return f"resume with a smaller batch, {resuming(config, '--batch_size', str(each * processes.count()))}"


@contextlib.contextmanager
def traced(config):
    """Write the whole traceback of an error that ends the block to log.txt, in the folder of the run.

    A new run that failed before its start gets a folder with that file alone; it can be started again.
    """
    try:
        yield
    except (WrongUse, Stopped):
        raise
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk may be what ended the run
            if not config.earlier:
                config.folder.mkdir(parents=True, exist_ok=True)
            log_traceback(config.folder, error)
        raise
