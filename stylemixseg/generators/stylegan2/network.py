"""StyleGAN2 in plain PyTorch, written from the papers: no compiled extension, any device, differentiable.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (arXiv 1912.04958): weight demodulation
(section 2.2) and output skips (figure 7b). Karras et al. 2020, "Training Generative Adversarial Networks with Limited
Data" (arXiv 2006.06676): clamped activations (`conv_clamp`).

An image is the sum of one small RGB image a resolution. `ws` is read in this order, so a cutoff c means the same split
as everywhere (section 3.1 of Feng et al.):

    ws[0]       4 px: convolution
    ws[2j - 1]  to RGB at 2^(j+1) px, then the up-sampling convolution to 2^(j+2) px
    ws[2j]      2^(j+2) px: convolution
    ws[-1]      to RGB at full size

Parameters carry the names of NVIDIA's PyTorch code (`synthesis.b4.conv1.weight` is here `blocks.0.conv1.weight`), see
`StyleGAN2.from_weights`. Numbers follow that code in single precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemixseg._util.checks import check_choice, check_int, check_real
from stylemixseg._util.tensors import fit_latents
from stylemixseg.generators.base import check_feature_layers, check_z, mean_latent, weights_digest
from stylemixseg.generators.stylegan2.architecture import Architecture

GAIN = 2**0.5  # keeps the variance after a leaky ReLU
LEAK = 0.2
MAPPING_RATE = 0.01  # the mapping network's learning-rate factor, part of what its stored weights mean
NOISE_MODES = ("const", "none", "random")
W_AVG_SAMPLES, W_AVG_SEED = 10_000, 0

State = tuple[Tensor, Tensor | None]  # feature map (N, C, h, w), and the RGB image so far (N, 3, h, w), if there is one


class FullyConnected(nn.Module):
    """x (N, I) -> (N, O) with the equalised learning rate: stored weights are scaled as they are used."""

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain, self.bias_gain = rate / inputs**0.5, rate

    def forward(self, x: Tensor) -> Tensor:
        """x (N, I) -> (N, O), without an activation."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class MappingNetwork(nn.Module):
    """G_m: z (N, z_dim), brought to unit mean square, through fully connected layers -> w (N, w_dim)."""

    def __init__(self, z_dim: int, w_dim: int, layers: int):
        super().__init__()
        self.fc = nn.ModuleList(FullyConnected(z_dim if i == 0 else w_dim, w_dim, MAPPING_RATE) for i in range(layers))

    def forward(self, z: Tensor) -> Tensor:
        """Input latents z (N, z_dim) -> latents w (N, w_dim), not truncated."""
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.fc:
            x = F.leaky_relu(layer(x), LEAK) * GAIN
        return x


class ModulatedConv(nn.Module):
    """Scale the input channels by the layer's style, convolve, and scale every output channel back to unit variance.

    Scaling channels before and after one shared convolution gives the same result as a kernel of its own for every
    image (section 2.2 of StyleGAN2), and lets a batch run as one convolution.
    """

    noise_const: Tensor
    filter: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, side: int, *, up: bool, conv_clamp: float | None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = FullyConnected(w_dim, inputs)
        self.register_buffer("noise_const", torch.zeros(side, side))
        self.register_buffer("filter", binomial_filter(), persistent=False)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.side, self.up, self.conv_clamp = side, up, conv_clamp

    def forward(self, x: Tensor, w: Tensor, noise_mode: str) -> Tensor:
        """(N, I, h, w), (N, w_dim) -> (N, O, side, side); a batch of one on either side is spread over the other."""
        style = self.affine(w)  # (N, I)
        # Dividing by the fan-in keeps half precision in range; demodulation takes it out again.
        fan_in = self.weight[0].numel()
        weight = self.weight / fan_in**0.5
        energy = style.square() @ weight.square().sum((2, 3)).T  # (N, O)
        demodulation = (energy + 1e-8 / fan_in).rsqrt()
        x = x * style[:, :, None, None].to(x)
        if self.up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1).to(x), stride=2), self.filter)
        else:
            x = F.conv2d(x, weight.to(x), padding=1)
        x = x * demodulation[:, :, None, None].to(x)
        if noise_mode == "const":
            x = x + (self.noise_const * self.noise_strength).to(x)
        elif noise_mode == "random":
            x = x + torch.randn(len(x), 1, self.side, self.side, device=x.device, dtype=x.dtype) * self.noise_strength
        x = F.leaky_relu(x + self.bias[:, None, None].to(x), LEAK) * GAIN
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class ToRGB(nn.Module):
    """Features (N, C, h, w) -> colours (N, 3, h, w): a 1 x 1 convolution, modulated, not demodulated."""

    def __init__(self, inputs: int, w_dim: int, conv_clamp: float | None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))
        self.affine = FullyConnected(w_dim, inputs)
        self.conv_clamp = conv_clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features x (N, C, h, w) and latents w (N, w_dim) -> colours (N, 3, h, w), clamped to +-`conv_clamp`."""
        style = self.affine(w) / self.weight.shape[1] ** 0.5
        # Three output channels: modulating the kernel (N, 3, C) costs less than modulating the features.
        kernel = style[:, None] * self.weight[:, :, 0, 0]
        colours = torch.matmul(kernel.to(x), x.flatten(2)).unflatten(2, x.shape[2:]) + self.bias[:, None, None].to(x)
        return colours if self.conv_clamp is None else colours.clamp(-self.conv_clamp, self.conv_clamp)


class Block(nn.Module):
    """The layers of one resolution; the first, at 4 px, has no up-sampling convolution."""

    def __init__(self, inputs: int, outputs: int, w_dim: int, side: int, conv_clamp: float | None):
        super().__init__()
        if side > 4:
            self.conv0 = ModulatedConv(inputs, outputs, w_dim, side, up=True, conv_clamp=conv_clamp)
        self.conv1 = ModulatedConv(outputs, outputs, w_dim, side, up=False, conv_clamp=conv_clamp)
        self.torgb = ToRGB(outputs, w_dim, conv_clamp)


def binomial_filter() -> Tensor:
    """[1, 3, 3, 1] / 4 along both axes, (4, 4); its sum is 2 an axis, for zeros were put between the pixels before."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    return torch.outer(taps, taps)


def blur(x: Tensor, kernel: Tensor) -> Tensor:
    """Each channel under the filter: (N, C, 2h + 1, 2w + 1) -> (N, C, 2h, 2w)."""
    return F.conv2d(x, kernel.to(x).expand(x.shape[1], 1, 4, 4), padding=1, groups=x.shape[1])


def upsample(image: Tensor, kernel: Tensor) -> Tensor:
    """(N, 3, h, w) -> (N, 3, 2h, 2w): zeros between the pixels, then the filter."""
    kernel = kernel.to(image).expand(image.shape[1], 1, 4, 4)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])


class StyleGAN2(nn.Module):
    """The generator behind the protocol of `generators.base`, with zero weights until they are loaded.

    Args:
        architecture: shapes.
        name: what to call it. digest: SHA-256 of its weights.
        noise_mode: "const" (the network's own maps; the same image every time, what segmentation needs), "none" or
            "random" (new noise a call; pixels jitter, so the generator is then no function of ws).
    """

    w_avg: Tensor
    filter: Tensor
    blocks: Sequence[Block]  # an nn.ModuleList, whose own annotation forgets what is in it

    def __init__(self, architecture: Architecture, *, name: str = "stylegan2", digest: str = "", noise_mode="const"):
        super().__init__()
        self.architecture, self.name, self.digest = architecture, name, digest
        self.noise_mode = check_choice("noise_mode", noise_mode, NOISE_MODES)
        self.notes: tuple[str, ...] = ()
        # Feature maps may be float16 or bfloat16 on a GPU; styles, demodulation and the RGB image stay float32.
        self.feature_dtype = torch.float32
        self.z_dim, self.w_dim = architecture.z_dim, architecture.w_dim
        self.num_ws, self.resolution = architecture.num_ws, architecture.resolution
        channels, clamp = architecture.channels, architecture.conv_clamp
        self.mapping_network = MappingNetwork(self.z_dim, self.w_dim, architecture.mapping_layers)
        self.register_buffer("w_avg", torch.zeros(self.w_dim))
        self.register_buffer("filter", binomial_filter(), persistent=False)
        self.const = nn.Parameter(torch.zeros(channels[0], 4, 4))
        blocks = [Block(channels[max(i - 1, 0)], count, self.w_dim, 4 << i, clamp) for i, count in enumerate(channels)]
        self.blocks = cast("Sequence[Block]", nn.ModuleList(blocks))

    @classmethod
    def from_weights(
        cls, architecture: Architecture, weights: Mapping[str, Tensor], *, name: str = "stylegan2", noise_mode="const"
    ) -> StyleGAN2:
        """A generator in evaluation mode from weights under NVIDIA's names (`mapping.fc0.weight`, `synthesis.b4...`).

        A missing `mapping.w_avg` is computed from 10,000 seeded samples, and `notes` says so.

        Raises:
            ValueError: a name is missing or too many, or a shape is not the architecture's.
        """
        generator = cls(architecture, name=name, noise_mode=noise_mode)
        computed = "mapping.w_avg" not in weights
        state = {ours(key): value for key, value in weights.items()} | ({"w_avg": generator.w_avg} if computed else {})
        try:
            generator.load_state_dict(state)
        except RuntimeError as error:
            raise ValueError(f"the weights do not fit {architecture}: {error}") from error
        generator.eval().requires_grad_(False)
        if computed:
            generator.w_avg.copy_(mean_latent(generator.mapping_network, generator.z_dim, W_AVG_SAMPLES, W_AVG_SEED))
            generator.notes += (f"w_avg is not in the file: mean of {W_AVG_SAMPLES} samples of seed {W_AVG_SEED}",)
        generator.digest = weights_digest(generator.state_dict())
        return generator

    @classmethod
    def from_file(cls, path: str | Path, *, name: str | None = None, noise_mode="const") -> StyleGAN2:
        """A generator from a checkpoint in any format that `checkpoints.read_checkpoint` knows; nothing in it is run.

        Args:
            path: the checkpoint.
            name: what to call it; None: the file's name without its ending.
            noise_mode: "const", "none" or "random", as in the class.

        Raises:
            CheckpointError: not a StyleGAN2 checkpoint, or damaged.
            FileNotFoundError: no such file.
        """
        # They need `Architecture` from here.
        from stylemixseg.generators.checkpoints import read_checkpoint
        from stylemixseg.generators.checkpoints.layout import MISSING_W_AVG

        checkpoint = read_checkpoint(path)
        generator = cls.from_weights(
            checkpoint.architecture, checkpoint.weights, name=name or Path(path).stem, noise_mode=noise_mode
        )
        # what `from_weights` says of a computed mean latent takes the place of the reader's note that it is missing
        said = tuple(note for note in checkpoint.notes if not note.startswith(MISSING_W_AVG))
        generator.notes = said + generator.notes
        return generator

    def weights(self) -> dict[str, Tensor]:
        """The weights under NVIDIA's names: what `from_weights` takes."""
        return {theirs(key): value for key, value in self.state_dict().items()}

    def mapping(self, z: Tensor, truncation: float = 1.0, truncation_cutoff: int | None = None) -> Tensor:
        """z (N, z_dim) -> ws (N, num_ws, w_dim): w_avg + truncation (w - w_avg) for every layer.

        Args:
            z: input latents (N, z_dim), floating point, finite.
            truncation: psi in 0..1.
            truncation_cutoff: pull only the first so many layers, 0..num_ws; None: all.

        Raises:
            TypeError, ValueError: z of the wrong type, shape or with NaN; truncation or its cutoff out of range.
        """
        check_real("truncation", truncation, 0.0, 1.0)
        cutoff = (
            self.num_ws
            if truncation_cutoff is None
            else check_int("truncation_cutoff", truncation_cutoff, 0, self.num_ws)
        )
        w = self.mapping_network(check_z(z, self.z_dim).to(self.w_avg))
        pulled = self.w_avg.lerp(w, truncation)
        return torch.stack([pulled] * cutoff + [w] * (self.num_ws - cutoff), dim=1)

    def synthesis(self, ws: Tensor, resolution: int | None = None) -> Tensor:
        """ws (N, num_ws, w_dim) -> images (N, 3, R, R) float32, RGB, about [-1, 1].

        Args:
            ws: latents (N, num_ws, w_dim); their type and device are brought to the network's.
            resolution: stop at this power of two and return the sum of the RGB images up to it: a cheap, paler
                substitute that lacks what later layers add. None: the network's own.
        """
        ws = fit_latents("ws", ws, self)
        sides = [4 << i for i in range(len(self.blocks))]
        if resolution is not None and resolution not in sides:
            raise ValueError(f"resolution must be one of {', '.join(map(str, sides))}, got {resolution!r}")
        stop = self.num_ws if resolution is None else 2 * sides.index(resolution) + 2
        _, image = self.run_layers(self.start(), ws, 0, stop)
        assert image is not None  # at least the layers of 4 px have run
        return image.expand(len(ws), -1, -1, -1).float()

    def background(self, ws: Tensor) -> Tensor:
        """As `synthesis`, with zeros in place of the features of 4 px, which hold what stands where."""
        ws = fit_latents("ws", ws, self)
        nothing = torch.zeros_like(self.start()[0]).expand(len(ws), -1, -1, -1)
        _, image = self.run_layers((nothing, None), ws, 1, self.num_ws)
        assert image is not None  # all layers have run
        return image.float()

    def feature_maps(self, ws: Tensor, layers: list[int]) -> list[Tensor]:
        """Features after the convolutions that read ws[:, i], for each i of `layers`: (N, C, side, side) each.

        Args:
            ws: latents (N, num_ws, w_dim); their type and device are brought to the network's.
            layers: 0..num_ws - 2, rising; layer i has 4 * 2^((i + 1) // 2) px. The last w feeds no convolution.
        """
        ws = fit_latents("ws", ws, self)
        check_feature_layers(layers, self.num_ws)
        found, state, done = [], self.start(), 0
        for layer in layers:
            state = self.run_layers(state, ws, done, layer + 1)
            done = layer + 1
            found.append(state[0].expand(len(ws), -1, -1, -1))
        return found

    def iter_mixed_synthesis(self, w0: Tensor, styles: Tensor, cutoff: int, batch_size: int) -> Iterator[Tensor]:
        """Yield the style-mixed images G_s(w_0i) of one query in batches; the layers below `cutoff` run once.

        Args:
            w0: structure latent (1, num_ws, w_dim).
            styles: style latents (n, num_ws, w_dim).
            cutoff: c in 0..num_ws.
            batch_size: images at once.
        """
        state = self.run_layers(self.start(), w0, 0, cutoff)
        for batch in styles.split(batch_size):
            _, image = self.run_layers(state, batch, cutoff, self.num_ws)
            assert image is not None  # all layers have run
            yield image.expand(len(batch), -1, -1, -1).float()

    def start(self) -> State:
        """The state before the first layer, for `run_layers`."""
        return self.const[None].to(self.feature_dtype), None

    def run_layers(self, state: State, ws: Tensor, start: int, stop: int) -> State:
        """Run what reads ws[:, start] .. ws[:, stop - 1], from the state that `run_layers(..., stop=start)` gave.

        No argument is checked. After stop = num_ws the image is complete.
        """
        x, image = state
        for layer in range(start, stop):
            w, block = ws[:, layer], self.blocks[layer // 2]
            if layer % 2 == 0:
                x = block.conv1(x, w, self.noise_mode)
                continue
            colours = block.torgb(x, w)
            image = colours.float() if image is None else upsample(image, self.filter) + colours
            if layer + 1 < self.num_ws:
                x = self.blocks[layer // 2 + 1].conv0(x, w, self.noise_mode)
        return x, image

    def batch_size_for(self, memory: int) -> int:
        """The most images at once whose feature maps take about `memory` bytes or less; at least one.

        Raises:
            ValueError: not even one fits.
        """
        largest = max(count * (4 << i) ** 2 for i, count in enumerate(self.architecture.channels))
        each = 3 * self.feature_dtype.itemsize * largest  # what a layer reads, writes, and has in between
        if memory < each:
            raise ValueError(f"memory_limit must be at least {each} bytes, what one image takes, got {memory}")
        return memory // each


def ours(name: str) -> str:
    """NVIDIA's name of a weight -> the name in `StyleGAN2`."""
    part, _, rest = name.partition(".")
    if part == "mapping":
        return rest if rest == "w_avg" else "mapping_network.fc." + rest.removeprefix("fc")
    side, _, rest = rest.removeprefix("b").partition(".")
    if not side.isdecimal() or int(side) < 4 or int(side) & (int(side) - 1):
        return name  # not a name of this network; loading will say so
    return rest if rest == "const" else f"blocks.{int(side).bit_length() - 3}.{rest}"


def theirs(name: str) -> str:
    """The name of a weight in `StyleGAN2` -> NVIDIA's name."""
    if name == "w_avg":
        return "mapping.w_avg"
    if name == "const":
        return "synthesis.b4.const"
    if name.startswith("mapping_network.fc."):
        return "mapping.fc" + name.removeprefix("mapping_network.fc.")
    _, index, rest = name.split(".", 2)
    return f"synthesis.b{4 << int(index)}.{rest}"
