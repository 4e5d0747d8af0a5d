"""One-line errors for failures of disks, memory and other processes; tracebacks in log.txt."""

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


def resume_command(config, *options):
    """The command that resumes the run of a RunConfig, or starts it again if nothing is saved yet."""
    begun = any((config.folder / name).exists() for name in (FILE, STATE))
    argv = ["--resume", str(config.folder)] if begun else sys.argv[1:] if config.argv is None else config.argv
    return command_line(config.method.name, [*argv, *options])


def advice_after_nan(run):
    """What to do after a loss or a weight that is not finite, as the end of a sentence."""
    options = ["pre_lr" if run.phase == 1 and run.args.pre_lr else "lrG"]
    options += ["lrD"] if run.phase == 2 and run.model.discriminator else []
    lower = [word for key in options for word in (f"--{key}", f"{getattr(run.args, key) / 10:g}")]
    fp32 = "" if run.precision == "fp32" else ", or with --precision fp32"
    return f"the last saved state is untouched; resume with {resume_command(run.config, *lower)}{fp32}"


def loading_fault(error):
    """The one-line reason for an error in or between the processes that load images; None for others."""
    text = str(error)
    last = text.strip().rpartition("\n")[2]  # of the traceback that such a process sends: type and message
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename  # a semaphore
    if full or any(words in text for words in ("shared memory", "(shm)", "</torch_")):
        return f"shared memory (/dev/shm) is full: use fewer --workers, 0 needs none; {MORE_SHARED}"
    if isinstance(error, RunFailed):
        return last.removeprefix(f"{RunFailed.__module__}.{RunFailed.__name__}: ")
    cut_off = isinstance(error, EOFError) and not text
    if cut_off or "killed by signal" in text or "exited unexpectedly" in text:
        return KILLED
    if "DataLoader worker" not in text:
        return None
    if is_out_of_memory(error) or "Cannot allocate memory" in last:
        return "a process that loads images ran out of memory: try fewer --workers, or --workers 0"
    if isinstance(error, OSError):
        return f"a process that loads images failed ({last}): fix that, then resume with --resume"
    return None


@contextlib.contextmanager
def one_line_errors(device, config):
    """Turn failures of disks, memory and other processes into RunFailed; `config` is the run's RunConfig."""
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if reason := _reason(error, device, config):
            raise RunFailed(reason) from error
        raise


def _reason(error, device, config):
    if isinstance(error, ConnectionError):  # to a loading process
        return KILLED
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        then = f"fix that (traceback in {LOG}), then resume with {resume_command(config)}"
        return f"{first_line(error)}{where}: {then}"
    if is_out_of_memory(error):
        count = processes.count()
        half = config.args.batch_size // count // 2 * count
        if not half:
            return f"out of memory on {device}: start a new run with a smaller --input_size or --ngf"
        command = resume_command(config, "--batch_size", str(half))
        return f"out of memory on {device}: resume with a smaller batch, {command}"
    if "DataLoader worker" in str(error) and (reason := loading_fault(error)):  # in a signal handler
        return reason
    if processes.lost(error):
        return f"another process failed, or cannot be reached ({first_line(error)}): see its error"
    return None


@contextlib.contextmanager
def log_tracebacks(config):
    """Write the traceback of an error that ends the block to log.txt, if need be in a new run folder."""
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
