"""The layers of MobileStyleGAN as an OpenVINO graph, written from the module's weights for `openvino_engine`.

The graph computes what the module does, in an order that suits a CPU (benchmarks/README.md has the numbers):

* Where an inverse Haar transform follows, the channels before it stand band by band, so that the four bands are four
  contiguous blocks of a pixel's channels. The convolution's rows are permuted for that, once.
* The last inverse Haar has no non-linearity before it, and is part of the weights of the convolution to wavelets.
* A style scales the weights of its convolution, not the feature map, where that is the smaller of the two.
* The noise maps are inputs. As constants they would be added to the bias when the model is compiled, one map for every
  channel: at 1024 px half a gigabyte instead of three megabytes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stylemixseg.generators.mobilestylegan import LEAK, Affine, MobileStyleGAN, StyledConv
from stylemixseg.generators.openvino.nodes import constant, integers, layer_latent, to_array
from stylemixseg.generators.openvino.quiet import Node, openvino, opset13

# Bands ll, lh, hl, hh of a square of 2 x 2 pixels -> its pixels 00, 01, 10, 11; see `mobilestylegan.inverse_haar`.
HAAR = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], np.float32) / 2


def build_layers(module: MobileStyleGAN, start: int, stop: int) -> tuple[list[Node], list[Node], list[np.ndarray]]:
    """The layers that read ws[:, start] .. ws[:, stop - 1]: (inputs, outputs, noise maps).

    Inputs: x (1, C, H, W), `module.const` for start = 0, else what the layers below gave; ws (1, num_ws, w_dim); the
    noise maps, in order. Output: the image (1, 3, R, R) for stop = num_ws; else a feature map, whose channels stand
    band by band where the next layer begins with an inverse Haar transform.
    """
    convs = [module.conv1, *(conv for block in module.blocks for conv in (block.conv1, block.conv2))]
    shape: Sequence[int]
    if start == 0:
        shape = module.const.shape
    elif start == module.num_ws:
        shape = (1, 3, module.resolution, module.resolution)
    else:
        shape = (1, convs[start - 1].bias.numel(), *convs[start - 1].noise.shape[2:])
    inputs = [opset13.parameter(list(size), openvino.Type.f32) for size in (shape, (1, module.num_ws, module.w_dim))]
    x, ws = inputs
    noises = []
    for layer in range(start, stop):
        w = layer_latent(ws, layer)
        if layer == module.num_ws - 1:
            x = _image(x, module, w)
            break
        if layer % 2:
            x = _inverse_haar(x, module.blocks[layer // 2].up, w)
        conv = convs[layer]
        noises.append(conv.noise.numpy())
        inputs.append(opset13.parameter(list(conv.noise.shape), openvino.Type.f32))
        x = _styled_conv(x, conv, w, inputs[-1], by_band=layer % 2 == 0 and layer < module.num_ws - 2)
    return inputs, [x], noises


def _style(affine: Affine, w: Node, by_band: bool = False) -> Node:
    """A layer's style, one scale a channel: (1, C, 1, 1)."""
    order = channel_order(affine.out_features, by_band)
    scale = opset13.matmul(w, constant(affine.weight[order]), False, True)
    return opset13.reshape(opset13.add(scale, constant(affine.bias[order])), integers(1, -1, 1, 1), False)


def _styled_conv(x: Node, conv: StyledConv, w: Node, noise: Node, by_band: bool) -> Node:
    order = channel_order(conv.bias.numel(), by_band)
    weight, scale = constant(conv.weight[order]), _style(conv.affine, w)
    if conv.noise.numel() > 4 * len(order):  # a map larger than the weights: scale those in its place
        weight = opset13.multiply(weight, scale)
    else:
        x = opset13.multiply(x, scale)
    if conv.depthwise is not None:  # each channel by itself: its scale may come before or after
        kernel = constant(conv.depthwise[:, :, None])  # (groups, 1, 1, 3, 3)
        x = opset13.group_convolution(x, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    x = _convolve(x, weight)
    x = opset13.add(opset13.add(x, constant(conv.bias[:, order])), noise)
    return opset13.prelu(x, opset13.constant(np.array([LEAK], np.float32)))


def _convolve(x: Node, weight: Node) -> Node:
    pad = weight.get_output_shape(0)[-1] // 2
    return opset13.convolution(x, weight, [1, 1], [pad, pad], [pad, pad], [1, 1])


def _inverse_haar(x: Node, up: Affine, w: Node) -> Node:
    """(1, 4C, H, W) with the bands one after the other, times their style -> (1, C, 2H, 2W)."""
    scale = opset13.multiply(_style(up, w, by_band=True), constant(0.5))
    parts = [opset13.split(whole, opset13.constant(1), 4).outputs() for whole in (x, scale)]
    ll, lh, hl, hh = (opset13.multiply(band, factor) for band, factor in zip(*parts))
    top, bottom = opset13.add(ll, lh), opset13.subtract(ll, lh)
    right, cross = opset13.add(hl, hh), opset13.subtract(hl, hh)
    pixels = [
        combine(row, column)
        for row, column in ((top, right), (bottom, cross))
        for combine in (opset13.add, opset13.subtract)
    ]
    return opset13.depth_to_space(opset13.concat(pixels, 1), "blocks_first", 2)


def _image(x: Node, module: MobileStyleGAN, w: Node) -> Node:
    """The convolution to wavelets and the inverse Haar transform after it, as one: (1, C, H, W) -> (1, 3, 2H, 2W)."""
    order = channel_order(12, by_band=True)
    assert module.to_img.bias is not None  # it was made with one
    weight, bias = (to_array(value[order]).reshape(4, -1) for value in (module.to_img.weight, module.to_img.bias))
    kernel = opset13.multiply(constant((HAAR @ weight).reshape(12, -1, 1, 1)), _style(module.to_img_affine, w))
    x = opset13.add(_convolve(x, kernel), constant((HAAR @ bias).reshape(1, 12, 1, 1)))
    return opset13.depth_to_space(x, "blocks_first", 2)


def channel_order(channels: int, by_band: bool) -> np.ndarray:
    """Where the channels come from: as they are, or the bands ll, lh, hl, hh one after the other."""
    if not by_band:
        return np.arange(channels)
    colours = channels // 4
    return np.concatenate([np.arange(colours), colours + np.arange(3 * colours).reshape(colours, 3).T.ravel()])
