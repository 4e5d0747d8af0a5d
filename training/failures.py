"""What can go wrong in and around a run, told in one line with the command that goes on."""

import contextlib
import errno

from pictures.inference import is_out_of_memory
from support.arguments import command_line
from training import processes
from utils import RunFailed, first_line

KILLED = "a process that loads images was killed (out of memory?): try fewer --workers, or --workers 0"
MORE_SHARED = "docker run --shm-size=2g, or --ipc=host, gives a container more"


def resuming(asked, *options):
    """The command that goes on with a run, or begins it again where nothing was saved yet.

    `asked` is a folders.Asked.
    """
    return command_line(asked.method.program, ["--resume", str(asked.folder), *options])


def another_try(run):
    """What to do after a loss or a weight that is not finite, as the end of a sentence."""
    args = run.args
    rates = {"lrG": args.lrG} | ({"lrD": args.lrD} if run.phase == 2 and run.model.discriminator else {})
    if run.phase == 1 and args.pre_lr:
        rates = {"pre_lr": args.pre_lr}
    lower = [word for key, rate in rates.items() for word in (f"--{key}", f"{rate / 10:g}")]
    wider = "" if run.precision == "fp32" else ", or with --precision fp32"
    return f"the last saved state is untouched; go on with {resuming(run.asked, *lower)}{wider}"


def of_loading(error):
    """What to say of an error in the processes that load images, or between them; None if it is another's.

    A process hands its error on with its traceback as text; the last line is its kind and what it says.
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
        return f"a process that loads images failed ({last}): mend that, then go on with --resume"
    return None


@contextlib.contextmanager
def explained(device, asked):
    """Turn what can go wrong around the program into RunFailed; `asked` is the run's folders.Asked."""
    try:
        yield
    except ConnectionError:  # to a loading process; of its end itself the pages may have been told
        reason = KILLED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        reason = f"{first_line(error)}{where}: mend that, then go on with {resuming(asked)}"
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            reason = f"out of memory on {device}: try a smaller --batch_size, --input_size or --ngf"
        elif "DataLoader worker" in str(error) and (told := of_loading(error)):  # told by a signal, anywhere
            reason = told
        elif processes.lost(error):
            reason = f"another of the processes is gone, or cannot be reached ({first_line(error)})"
        else:
            raise
    else:
        return
    raise RunFailed(reason)
