"""Shared helpers: one-line errors, devices and precision, pictures as tensors.

PyTorch takes seconds to load, so only functions that need it import it: a wrong option is reported at once.
"""

import collections
import contextlib
import errno
import functools
import glob
import os
import platform
import re
import signal
import subprocess
import sys
import warnings
from importlib.util import find_spec


class WrongUse(Exception):
    """An error that the user can correct before the program starts: an option, a folder, a file."""

    status = 2


class RunFailed(Exception):
    """An error during the work."""

    status = 1


class Stopped(Exception):
    """The program ends without an error, with an exit `status`; the text says how to continue."""

    def __init__(self, text, status):
        super().__init__(text)
        self.status = status


def first_line(error):
    """The first line of an error's message, without the file's name, or the name of its class."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0]


unlogged = collections.deque(maxlen=1000)  # reported lines that a run has not yet written into its log
unread = set()  # names of the standard streams that nobody reads any more: `| head`, a closed terminal


def report(line, everywhere=False):
    """Print one line to standard error, above a progress bar, with control characters escaped.

    Of several processes only the first prints; with `everywhere` each does, for messages about itself.
    """
    from tqdm import tqdm

    line = "".join(x if x.isprintable() else x.encode("unicode_escape").decode() for x in line)
    with _unless_unread(sys.stderr):
        if is_first():
            unlogged.append(line)
            tqdm.write(line, file=sys.stderr)
        elif everywhere:
            print(f"process {rank()}: {line}", file=sys.stderr)


report_once = functools.cache(report)  # once a process: a file may be read several times


def print_line(line):
    """Print one line to standard output and flush it."""
    with _unless_unread(sys.stdout):
        print(line, flush=True)


@contextlib.contextmanager
def _unless_unread(stream):
    """If nobody reads the stream any more, add its name to `unread` and discard what is printed."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal is gone
            raise
        unread.add(stream.name)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def refuse_early(check):
    """End the program now if `check()` raises an error or answers the command, as --help does.

    Also if the packages are missing, as without the virtual environment.
    """
    if missing := [name for name in ("torch", "torchvision", "cv2", "tqdm") if not find_spec(name)]:
        advice = "use .venv/bin/python, or pip install -r requirements.txt"
        print(f"error: {sys.executable} lacks {', '.join(missing)}: {advice}", file=sys.stderr)
        sys.exit(2)
    if status := exit_status(lambda: check() and 0):
        sys.exit(status)


def exit_status(main):
    """Call main() and return its exit status; known errors become one line on standard error.

    Ctrl-C returns 130, an OSError (disk full, no permission) 1. Other exceptions are bugs: they pass through.
    """
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed at the start, as by `2>&-`
            setattr(sys, stream, open(os.devnull, "w"))  # noqa: SIM115
    with contextlib.suppress(AttributeError):  # a file name may not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return main() or 0
    except (WrongUse, RunFailed) as error:
        report(f"error: {error}", everywhere=True)
        return error.status
    except Stopped as stopped:
        report(str(stopped))
        return stopped.status
    except KeyboardInterrupt:
        report("stopped")
        return 130
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        report(f"error: {error.strerror or error}{where}")
        return 1


def end_on_signals():
    """Let SIGTERM and SIGHUP raise Stopped, so that partly written files are removed."""

    def end(number, _):
        raise Stopped(f"stopped by {signal.Signals(number).name}", 128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, end)


# Processes, device and precision


def cores():
    """How many cores this process may use; on macOS and Windows, how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rank():
    """The number of this process among those that torchrun started, from 0."""
    return int(os.environ.get("RANK", 0))


def is_first():
    """Whether this is the process that prints and writes."""
    return rank() == 0


def code_commit():
    """The git commit of this code, "+changes" if files differ or Python files are new; None without git."""
    git = ["git", "-C", os.path.dirname(__file__), "status", "--porcelain=v2", "--branch"]
    try:
        output = subprocess.run(git, capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return None
    first, *others = output.splitlines()  # "# branch.oid COMMIT", other lines with a #, then the changes
    changes = [line for line in others if line[0] not in "#?" or line.endswith(".py")]
    return first.split()[-1] + ("+changes" if changes else "")


def restarts():
    """How many times torchrun has restarted the processes after one failed (--max-restarts)."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def launcher():
    """The id of the torchrun launch, the same after its restarts; None without torchrun."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        return f"{platform.node()} {os.getppid()}"
    return os.environ.get("TORCHELASTIC_RUN_ID")


# The newest PyTorch whose wheels have code for a V100 and need a driver for CUDA 12 only
V100 = "`pip install torch==2.10.0 torchvision==0.25.0`"


def choose_device(name):
    """The torch device of that name; "auto" is the first GPU if there is one. Raises WrongUse."""
    with warnings.catch_warnings(action="ignore"):  # PyTorch's have several lines; one is reported here
        return _choose_device(name)


def _choose_device(name):
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if why := unused_gpu():
            report(f"warning: {why}; continuing on the CPU")
    if "LOCAL_RANK" in os.environ and name.startswith("cuda"):
        if name != "cuda":
            raise WrongUse(
                f"--device {name} under torchrun, which gives each process a GPU: use --device cuda"
            )
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        if device.type == "cuda":
            torch.cuda.set_device(device.index or 0)  # for code that names no device
            needed, has = torch.cuda.get_device_capability(device), torch.cuda.get_arch_list()
            if not runs_on(needed, has):
                raise WrongUse(
                    f"PyTorch {torch.__version__} has no code for {torch.cuda.get_device_name(device)} "
                    f"(sm_{needed[0]}{needed[1]}; it has {' '.join(has)}): for a V100 {V100}, "
                    "or use --device cpu"
                )
        torch.zeros(1, device=device).cpu()  # "meta" accepts a tensor, but returns none
    except (RuntimeError, AssertionError) as error:
        why = unused_gpu() or first_line(error)
        raise WrongUse(f"--device {name} cannot be used: {why}; try --device cpu") from None
    return device


def unused_gpu():
    """Why PyTorch's CUDA build cannot use this machine's NVIDIA GPU and what to install, or ""."""
    import torch

    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not torch.version.cuda or not glob.glob("/dev/nvidia[0-9]*") or torch.cuda.is_available():
        return ""
    try:
        torch.cuda.init()
        return ""
    except RuntimeError as error:
        why = f"cannot use this machine's NVIDIA GPU ({first_line(error).split('. ')[0]})"
    older = f", or an older PyTorch: {V100}" if torch.version.cuda >= "13" else ""
    return f"PyTorch {torch.__version__} {why}: install a driver for CUDA {torch.version.cuda}{older}"


def runs_on(capability, architectures):
    """Whether a GPU of compute `capability` (major, minor) runs code built for torch.cuda.get_arch_list().

    Machine code (sm_XY) runs on the same major and at least that minor version; compute_XY on all newer ones.
    """
    built_for = [found.groups() for name in architectures if (found := re.match(r"(sm|compute)_(\d+)", name))]
    for kind, digits in built_for:
        built = divmod(int(digits), 10)
        if built <= capability and (kind == "compute" or built[0] == capability[0]):
            return True
    return bool(architectures) and not built_for  # AMD's names, gfx…, have no capability


def choose_precision(name, device):
    """Resolve "auto": bf16 if the processor computes it natively, else fp16 on a GPU, else fp32."""
    import torch

    if name != "auto":
        return name
    if device.type == "cuda":
        with torch.cuda.device(device):
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if device.type == "cpu" and native else "fp32"


def dtype(precision):
    """The torch dtype of "fp32", "tf32", "bf16" or "fp16"."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)


def autocast(device, precision):
    """A context in which convolutions compute in `precision`."""
    import torch

    return torch.autocast(device.type, dtype(precision), enabled=dtype(precision) != torch.float32)


# Pictures as tensors


def to_range(image):
    """uint8 0..255 to float32 [-1, 1]."""
    return image.float().div_(127.5).sub_(1)


def to_image(picture):
    """One picture (C,H,W) in [-1, 1] to a uint8 array H,W,C."""
    picture = (picture.detach().float() + 1).mul(127.5).round().clamp(0, 255)
    return picture.byte().permute(1, 2, 0).cpu().numpy()


def to_batch(image, device):
    """A uint8 array H,W,C to a batch of one: float32 (1,C,H,W) in [-1, 1]."""
    import torch

    return to_range(torch.tensor(image, device=device).permute(2, 0, 1)[None])
