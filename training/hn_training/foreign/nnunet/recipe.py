"""What plans.json says of a network: names and numbers only, all of them checked, nothing imported by its name.

Both of nnU-Net's ways to say it are known: an "architecture" with the arguments of the network's class, and the older
plans, which name the numbers of an nnU-Net of 2023 one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import Refused

PLAIN, RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"
PLACES = {
    "dynamic_network_architectures.architectures.unet": (PLAIN, RESIDUAL),
    "dynamic_network_architectures.architectures.residual_unet": (RESIDUAL,),
}
"""Modules in which nnU-Net's releases had their two networks."""
CONVOLUTIONS = ("torch.nn.modules.conv.Conv3d", "torch.nn.Conv3d")
NORMS = {
    "torch.nn.modules.instancenorm.InstanceNorm3d": "InstanceNorm3d",
    "torch.nn.InstanceNorm3d": "InstanceNorm3d",
    "torch.nn.modules.batchnorm.BatchNorm3d": "BatchNorm3d",
    "torch.nn.BatchNorm3d": "BatchNorm3d",
}
ACTIVATIONS = {
    "torch.nn.LeakyReLU": "LeakyReLU",
    "torch.nn.modules.activation.LeakyReLU": "LeakyReLU",
    "torch.nn.ReLU": "ReLU",
    "torch.nn.modules.activation.ReLU": "ReLU",
}
BLOCKS = (None, "dynamic_network_architectures.building_blocks.residual.BasicBlockD")
KNOWN = {
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage", "n_blocks_per_stage",
    "n_conv_per_stage_decoder", "conv_bias", "norm_op", "norm_op_kwargs", "dropout_op", "dropout_op_kwargs", "nonlin",
    "nonlin_kwargs", "deep_supervision", "nonlin_first", "block", "bottleneck_channels", "stem_channels",
}  # fmt: skip
MOST_STAGES, MOST_BLOCKS, MOST_FEATURES, MOST_KERNEL = 12, 32, 4096, 15
"""Far above any published nnU-Net (8, 6, 512 and 3); what is larger is no plan but a trap."""


@dataclass(frozen=True)
class Recipe:
    """A U-Net of nnU-Net. Kernel sizes and strides: one triple a stage, on the transposed axes.

    blocks: convolutions (plain) or residual blocks of each stage of the encoder; decoder: convolutions of each stage of
    the decoder, the coarsest first; stem: features of the residual encoder's first convolution.
    """

    network: str
    features: tuple[int, ...]
    kernels: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...]
    decoder: tuple[int, ...]
    bias: bool
    norm: str
    norm_options: dict
    activation: str
    activation_options: dict
    activation_first: bool
    stem: int

    @property
    def multiple(self) -> tuple[int, int, int]:
        """What each spatial size must be divisible by: the product of the strides."""
        z, y, x = 1, 1, 1
        for stride in self.strides:
            z, y, x = z * stride[0], y * stride[1], x * stride[2]
        return z, y, x


def recipe(configuration: dict) -> Recipe:
    """Of a configuration of plans.json, inheritance resolved. Raises Refused that names what is not supported."""
    try:
        if "architecture" in configuration:
            name, arguments = _named(configuration["architecture"])
        else:
            name, arguments = _older(configuration)
        return _checked(name, arguments)
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(
            f"plans.json doesn't describe the network as nnU-Net does ({type(error).__name__}: {error}): "
            "take the folder as nnU-Net wrote it."
        ) from None


def _named(architecture: dict) -> tuple[str, dict]:
    module, _, name = str(architecture["network_class_name"]).rpartition(".")
    if name not in PLACES.get(module, ()):
        raise Refused(
            f"Its network is a {architecture['network_class_name']}: only nnU-Net's {PLAIN} and {RESIDUAL} "
            "can be imported."
        )
    return name, dict(architecture["arch_kwargs"])


def _older(configuration: dict) -> tuple[str, dict]:
    """Plans before "architecture"; their networks had these fixed choices."""
    name = configuration.get("UNet_class_name")
    if name not in (PLAIN, RESIDUAL):
        raise Refused(f"Its network is a {name}: only nnU-Net's {PLAIN} and {RESIDUAL} can be imported.")
    stages = len(configuration["n_conv_per_stage_encoder"])
    least, most = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
    if not _whole(least, 1, MOST_FEATURES) or not _whole(most, 1, MOST_FEATURES) or stages > MOST_STAGES:
        raise Refused(f"plans.json plans {stages} stages of {least!r} to {most!r} features, which no network has.")
    return name, {
        "n_stages": stages,
        "features_per_stage": [min(least * 2**stage, most) for stage in range(stages)],
        "conv_op": CONVOLUTIONS[0],
        "kernel_sizes": configuration["conv_kernel_sizes"],
        "strides": configuration["pool_op_kernel_sizes"],
        "n_conv_per_stage" if name == PLAIN else "n_blocks_per_stage": configuration["n_conv_per_stage_encoder"],
        "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": next(iter(NORMS)),
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": next(iter(ACTIVATIONS)),
        "nonlin_kwargs": {"inplace": True},
    }


def _checked(name: str, arguments: dict) -> Recipe:
    if unknown := sorted(set(arguments) - KNOWN):
        raise Refused(
            f"plans.json builds the network with {', '.join(unknown)}, which is unknown here: it can't be imported."
        )
    _one_of("conv_op", arguments["conv_op"], CONVOLUTIONS)
    _one_of("norm_op", arguments["norm_op"], NORMS)
    _one_of("nonlin", arguments["nonlin"], ACTIVATIONS)
    _one_of("block", arguments.get("block"), BLOCKS)
    _one_of("bottleneck_channels", arguments.get("bottleneck_channels"), (None,))
    stages = arguments["n_stages"]
    if not _whole(stages, 2, MOST_STAGES):
        raise Refused(f"plans.json plans a network of {stages!r} stages; 2 to {MOST_STAGES} can be.")
    features = _each(arguments, "features_per_stage", stages, MOST_FEATURES)
    stem = arguments.get("stem_channels")
    if stem is not None and not _whole(stem, 1, MOST_FEATURES):
        raise Refused(f"plans.json has stem_channels = {stem!r}, which no network has.")
    return Recipe(
        network=name,
        features=features,
        kernels=_triples(arguments, "kernel_sizes", stages, odd=True),
        strides=_triples(arguments, "strides", stages, odd=False),
        blocks=_each(arguments, "n_conv_per_stage" if name == PLAIN else "n_blocks_per_stage", stages, MOST_BLOCKS),
        decoder=_each(arguments, "n_conv_per_stage_decoder", stages - 1, MOST_BLOCKS),
        bias=bool(arguments.get("conv_bias", False)),
        norm=NORMS[arguments["norm_op"]],
        norm_options=_options("norm_op_kwargs", arguments, {"eps", "affine", "momentum"}),
        activation=ACTIVATIONS[arguments["nonlin"]],
        activation_options=_options("nonlin_kwargs", arguments, {"inplace", "negative_slope"}),
        activation_first=bool(arguments.get("nonlin_first", False)) and name == PLAIN,
        stem=stem or features[0],
    )


def _one_of(key: str, value: object, choices) -> None:
    if value not in choices:
        raise Refused(f"plans.json builds the network with {key} = {value!r}, which can't be imported.")


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _each(arguments: dict, key: str, count: int, most: int) -> tuple[int, ...]:
    """A number a stage; one number stands for all."""
    values = arguments[key]
    values = [values] * count if isinstance(values, int) else list(values)
    if len(values) != count or not all(_whole(value, 1, most) for value in values):
        raise Refused(f"plans.json has {key} = {arguments[key]!r}: {count} numbers from 1 to {most} are needed.")
    return tuple(values)


def _triples(arguments: dict, key: str, count: int, odd: bool) -> tuple[tuple[int, ...], ...]:
    values = arguments[key]
    values = [values] * count if isinstance(values, int) else list(values)
    triples = tuple(tuple([value] * 3 if isinstance(value, int) else value) for value in values)
    flat = [number for triple in triples for number in triple]
    if (
        len(triples) != count
        or any(len(triple) != 3 for triple in triples)
        or not all(_whole(number, 1, MOST_KERNEL) and not (odd and number % 2 == 0) for number in flat)
    ):
        raise Refused(
            f"plans.json has {key} = {arguments[key]!r}: three {'odd ' * odd}numbers are needed for each of {count} "
            "stages, as a 3D network has them."
        )
    return triples


def _options(key: str, arguments: dict, known: set[str]) -> dict:
    """Keyword arguments of a layer: numbers and yes or no."""
    options = dict(arguments.get(key) or {})
    if set(options) - known or not all(isinstance(value, (bool, int, float)) for value in options.values()):
        raise Refused(f"plans.json has {key} = {options!r}; only {', '.join(sorted(known))} are known.")
    return {name: False if name == "inplace" else value for name, value in options.items()}
