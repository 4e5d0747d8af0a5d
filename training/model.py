"""What a run of training is made of: the networks, their optimisers, where it stands, and how it starts."""

import collections
import dataclasses
import functools

import torch

import networks
import utils
from pictures import checkpoints
from training import processes
from utils import WrongUse, say


@dataclasses.dataclass
class Training:
    """All that training changes; `phase`, `epoch` and `step` say what comes next."""

    generator: networks.Generator
    discriminator: networks.Discriminator | None  # None with --adv_lambda 0
    parallel_generator: torch.nn.Module  # the same two where gradients are wanted: averaged over processes
    parallel_discriminator: torch.nn.Module | None
    vgg: networks.VGG19 | None  # None without --con_lambda and --style_lambda; never changes
    adam_g: torch.optim.Adam
    adam_d: torch.optim.Adam | None
    scaler: torch.amp.GradScaler
    pool: pool.Pool
    autocast: functools.partial
    phase: int = 1
    epoch: int = 1
    step: int = 0
    sums: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(float))
    seconds: float = 0.0
    unchecked: list = dataclasses.field(default_factory=list)
    skipped: torch.Tensor | int = 0  # steps of the optimisers since the last batch that float16 lost


def has_discriminator(args):
    """Whether the run trains one."""
    return bool(args.adv_lambda and args.train_epoch)


def needs_drawings(args):
    """Whether a loss looks at drawings."""
    return has_discriminator(args) or bool(args.style_lambda and args.train_epoch)


def build(args, device, precision):
    """Networks with fresh weights, their optimisers and the frozen VGG19: training at its start."""
    torch.manual_seed(args.seed)
    layout = {"device": device, "memory_format": torch.channels_last}
    betas = (args.beta1, args.beta2)
    shape = (args.in_ngc, args.out_ngc, args.ngf, args.nb, args.res_convs, args.upsample)
    generator = networks.Generator(*shape).to(**layout)
    discriminator = adam_d = vgg = None
    if has_discriminator(args):
        discriminator = networks.Discriminator(args.in_ndc, args.out_ndc, args.ndf).to(**layout)
        adam_d = torch.optim.Adam(discriminator.parameters(), args.lrD, betas, fused=True)
    if args.con_lambda or args.style_lambda:
        vgg = checkpoints.load_vgg(args.vgg_model, args.seed).to(**layout)
        vgg.features.to(utils.dtype(precision))
        if args.vgg_model == "random":
            say("warning: VGG19 has random weights: good for trying the program, not for results")
    adam_g = torch.optim.Adam(generator.parameters(), args.lrG, betas, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    autocast = functools.partial(utils.autocast, device, precision)
    parallel = [network and processes.parallel(network, device) for network in (generator, discriminator)]
    pool = pool.Pool(args.pool_size)
    return Training(generator, discriminator, *parallel, vgg, adam_g, adam_d, scaler, pool, autocast)


def steps_taken(adam):
    """How many steps an Adam has taken, without those that a GradScaler skipped: a tensor on its device."""
    return next((state["step"].clone() for state in adam.state.values()), 0)


def start_from_weights(t, args):
    """Take the weights that the two --latest options name; a generator's skip phase one."""
    if path := args.latest_generator_model:
        loaded = checkpoints.load_generator(path)
        for key, value in t.generator.architecture.items():
            # eps may differ: between 1e-9 and 1e-5 the authors' results differ by 1e-4 on average (measured).
            if key != "eps" and loaded.architecture[key] != value:
                here = f"--{key} is {value}" if key in args else f"training knows {value} only"
                raise WrongUse(f"{path} has {key} {loaded.architecture[key]}, but {here}")
        t.generator.load_state_dict(loaded.state_dict())
        t.phase = 2
    if (path := args.latest_discriminator_model) and t.discriminator:
        checkpoints.fill(t.discriminator, checkpoints.load(path), path)
