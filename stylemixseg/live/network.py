"""The synthesis network of the face generator as an ONNX model of 256 px, for a browser or any other runtime.

It is the network of `inversion.preview`: the layers up to the asked resolution as they are, the layers above it
collapsed to what they do to averages. All layers are in one graph that reads a latent per layer, so that the same file
serves every cutoff c: the caller puts w0 into the layers below c and a style into the others. (Cut in two at c, the
lower part would run once per face in place of once per mix. At c = 6 that part takes a twentieth of the time, so the
simpler file wins.)

As in the OpenVINO graph (`generators.openvino.mobilestylegan`), the channels before an inverse Haar transform stand
band by band: the rows of the convolution before it are permuted once, and the four bands are then four blocks of
channels. Where the transform is collapsed, only its low band is looked at, so the other rows of that convolution are
left out.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from stylemixseg._util.optional import extra
from stylemixseg.generators.mobilestylegan import LEAK, Affine, MobileStyleGAN, StyledConv
from stylemixseg.generators.openvino.mobilestylegan import channel_order
from stylemixseg.inversion.preview import Preview, collapsed_maps
from stylemixseg.live.graph import GraphWriter

with extra("book", "the network for a page needs onnx"):
    from onnx import ModelProto, TensorProto

SIDE = 256  # px; half a second per mix on one thread of a browser


def network_model(generator: MobileStyleGAN, side: int = SIDE, storage: str = "int8", licence: str = "") -> ModelProto:
    """The network from latents to a picture, as an ONNX model.

    Input `ws` (num_ws, w_dim) float32; output `pixels` (side, side, 4) uint8: red, green, blue and an opaque alpha, as
    a canvas takes them.

    Args:
        generator: in PyTorch.
        side: of the picture in px, a power of two from 8 to half the generator's.
        storage: "int8", or "float32" for no loss; see `graph.GraphWriter`.
        licence: what the file says about its terms.

    Raises:
        TypeError, ValueError: another generator, no such side or storage.
        ModuleNotFoundError: onnx is not installed; the message names the extra.
    """
    kept = (Preview(generator, side).layers - 1) // 2  # blocks that run as they are; it also checks the arguments
    write = GraphWriter(storage)
    network = _Layers(write, generator.num_ws)
    x = write.halves(_array(generator.const))
    x = network.convolution(x, generator.conv1, 0, rows=_next_rows(generator, 0, kept))
    for i, block in enumerate(generator.blocks):
        x = network.doubled(x, block.up, 2 * i + 1) if i < kept else network.low_band(x, block.up, 2 * i + 1)
        factor = 1 if i < kept else 2 ** (i - kept + 1)  # how much larger this block's maps are in the generator
        x = network.convolution(x, block.conv1, 2 * i + 1, factor=factor)
        x = network.convolution(x, block.conv2, 2 * i + 2, factor=factor, rows=_next_rows(generator, i + 1, kept))
    network.image(x, generator)
    return write.model(
        {"ws": ("float32", (generator.num_ws, generator.w_dim))},
        {"pixels": ("uint8", (side, side, 4))},
        about=f"{generator.name}: a latent per layer in, a picture of {side} px out. Made by stylemixseg for a page.",
        notes={"weights_sha256": generator.digest, "licence": licence},
    )


def _next_rows(generator: MobileStyleGAN, block: int, kept: int) -> np.ndarray:
    """Which channels, in which order, the block of that number wants from the convolution before it."""
    if block == len(generator.blocks):
        return np.arange(generator.to_img.in_channels)
    channels = generator.blocks[block].up.out_features
    return channel_order(channels, by_band=True) if block < kept else np.arange(channels // 4)


class _Layers:
    """The operations that the layers are made of; a feature map (1, C, H, W) goes from one to the next by its name."""

    def __init__(self, write: GraphWriter, num_ws: int):
        self.write = write
        self._latents = write.several(num_ws, "Split", "ws", axis=0, num_outputs=num_ws)  # (1, w_dim) each
        self._as_channels = write.constant(np.array([1, -1, 1, 1], np.int64))

    def convolution(
        self, x: str, conv: StyledConv, layer: int, *, factor: int = 1, rows: np.ndarray | None = None
    ) -> str:
        """A styled convolution, the leaky ReLU included; only the output channels `rows`, in that order."""
        write = self.write
        rows = np.arange(conv.bias.numel()) if rows is None else rows
        weight, scale = write.weights(_array(conv.weight)[rows]), self._style(conv.affine, layer)
        if conv.noise.numel() // factor**2 > 4 * len(rows):  # a map larger than the weights: scale those in its place
            weight = write("Mul", weight, scale)
        else:
            x = write("Mul", x, scale)
        noise = _array(conv.noise)
        if conv.depthwise is not None:  # each channel by itself: its scale may come before or after
            kernel, noise = map(_array, collapsed_maps(conv, factor))
            x = write("Conv", x, write.halves(kernel), group=len(kernel), pads=[1, 1, 1, 1])
        pad = conv.weight.shape[-1] // 2
        x = write("Conv", x, weight, write.constant(_array(conv.bias).ravel()[rows]), pads=[pad] * 4)
        return write("LeakyRelu", write("Add", x, write.weights(noise[0, 0])), alpha=LEAK)

    def doubled(self, x: str, up: Affine, layer: int) -> str:
        """Four bands times their style, then the inverse Haar transform: (1, 4C, H, W) -> (1, C, 2H, 2W).

        See `mobilestylegan.inverse_haar` for the signs; its factor of one half is in the style here.
        """
        write = self.write
        rows = channel_order(up.out_features, by_band=True)
        x = write("Mul", x, self._style(up, layer, rows, times=0.5))
        ll, lh, hl, hh = write.several(4, "Split", x, axis=1, num_outputs=4)
        top, bottom = write("Add", ll, lh), write("Sub", ll, lh)
        right, cross = write("Add", hl, hh), write("Sub", hl, hh)
        pixels = [write(sign, *pair) for pair in ((top, right), (bottom, cross)) for sign in ("Add", "Sub")]
        return write("DepthToSpace", write("Concat", *pixels, axis=1), blocksize=2, mode="DCR")

    def low_band(self, x: str, up: Affine, layer: int) -> str:
        """What `doubled` gives, averaged over its 2 x 2 squares, from the low band alone: (1, C, H, W) -> the same."""
        return self.write("Mul", x, self._style(up, layer, np.arange(up.out_features // 4), times=0.5))

    def image(self, x: str, generator: MobileStyleGAN) -> None:
        """The last layer, and its picture as `mixing.to_uint8` rounds it; the output of the graph."""
        write, to_img = self.write, generator.to_img
        assert to_img.bias is not None  # it was made with one
        kernel, bias = _array(to_img.weight)[:3] / 2, _array(to_img.bias)[:3] / 2  # the low band of its wavelets
        kernel_name = write("Mul", write.halves(kernel), self._style(generator.to_img_affine, generator.num_ws - 1))
        x = write("Conv", x, kernel_name, write.constant(bias))
        half = write.constant(np.float32(127.5))
        x = write("Round", write("Add", write("Mul", x, half), half))
        x = write("Clip", x, write.constant(np.float32(0)), write.constant(np.float32(255)))
        # An opaque alpha is a fourth channel of 255, in the padding of the channels.
        x = write("Pad", x, write.constant(np.array([0, 0, 0, 0, 0, 1, 0, 0])), write.constant(np.float32(255)))
        x = write("Squeeze", write("Transpose", x, perm=[0, 2, 3, 1]), write.constant(np.array([0])))
        write.named("pixels", "Cast", x, to=TensorProto.UINT8)

    def _style(self, affine: Affine, layer: int, rows: np.ndarray | None = None, times: float = 1.0) -> str:
        """A layer's style, one scale per channel: (1, C, 1, 1)."""
        rows = np.arange(affine.out_features) if rows is None else rows
        weight = self.write.weights(_array(affine.weight)[rows] * times)
        bias = self.write.constant(_array(affine.bias)[rows] * times)
        scale = self.write("Gemm", self._latents[layer], weight, bias, transB=1)
        return self.write("Reshape", scale, self._as_channels)


def _array(value: Tensor) -> np.ndarray:
    array: np.ndarray = value.detach().float().numpy()
    return array
