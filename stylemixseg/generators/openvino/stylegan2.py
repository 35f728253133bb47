"""The layers of StyleGAN2 as an OpenVINO graph, written from the module's weights for `openvino_engine`.

The graph computes what `stylegan2.StyleGAN2.run_layers` does, for one image. The gain sqrt 2 after each leaky ReLU is
folded into the demodulation, the noise and the bias before it. The noise maps are inputs: as constants they would be
added to the bias when the model is compiled, one map for every channel.
"""

from __future__ import annotations

import numpy as np

from stylemixseg.generators.openvino.nodes import constant, integers, layer_latent
from stylemixseg.generators.openvino.quiet import Node, openvino, opset13
from stylemixseg.generators.stylegan2.network import GAIN, LEAK, FullyConnected, ModulatedConv, StyleGAN2, ToRGB


def build_layers(module: StyleGAN2, start: int, stop: int) -> tuple[list[Node], list[Node], list[np.ndarray]]:
    """The layers that read ws[:, start] .. ws[:, stop - 1]: (inputs, outputs, noise maps).

    Inputs: the state that the layers below gave (for start = 0: `module.const`), ws (1, num_ws, w_dim), then the noise
    maps in order. Outputs: the state, that is features and, from layer 1 on, the RGB image so far; only the image
    (1, 3, R, R) for stop = num_ws.
    """
    if module.noise_mode == "random":
        raise ValueError("noise_mode 'random' has no fixed graph; use engine='torch'")
    state = [opset13.parameter(list(shape), openvino.Type.f32) for shape in state_shapes(module, start)]
    ws = opset13.parameter([1, module.num_ws, module.w_dim], openvino.Type.f32)
    inputs, noises = [*state, ws], []

    def convolved(x: Node, conv: ModulatedConv, w: Node) -> Node:
        noise = None
        if module.noise_mode == "const":
            noises.append((conv.noise_const * conv.noise_strength * GAIN).numpy()[None, None])
            noise = opset13.parameter([1, 1, conv.side, conv.side], openvino.Type.f32)
            inputs.append(noise)
        return _modulated_conv(x, conv, w, noise)

    x, image = state[0], state[1] if len(state) > 1 else None
    if start == module.num_ws:
        x, image = None, state[0]
    for layer in range(start, stop):
        w = layer_latent(ws, layer)
        block = module.blocks[layer // 2]
        if layer % 2 == 0:
            x = convolved(x, block.conv1, w)
            continue
        colours = _to_rgb(x, block.torgb, w)
        image = colours if image is None else opset13.add(_upsample(image, module), colours)
        x = None if layer + 1 == module.num_ws else convolved(x, module.blocks[layer // 2 + 1].conv0, w)
    return inputs, [part for part in (x, image) if part is not None], noises


def state_shapes(module: StyleGAN2, layer: int) -> list[tuple[int, ...]]:
    """Shapes of the state before `layer`: features, and the RGB image where there is one."""
    channels = module.architecture.channels
    shapes: list[tuple[int, ...]] = []
    if layer < module.num_ws:  # the last convolution read ws[layer - 1]
        block = layer // 2
        shapes.append((1, channels[block], 4 << block, 4 << block))
    if layer > 1:
        side = 4 << (layer // 2 - 1)
        shapes.append((1, 3, side, side))
    return shapes


def _modulated_conv(x: Node, conv: ModulatedConv, w: Node, noise: Node | None) -> Node:
    style = _style(w, conv.affine, 1.0)  # (1, I)
    weight = conv.weight.numpy()
    energy = opset13.matmul(opset13.multiply(style, style), constant(np.square(weight).sum((2, 3)).T), False, False)
    demodulation = opset13.divide(constant(GAIN), opset13.sqrt(opset13.add(energy, constant(1e-8))))
    x = opset13.multiply(x, _per_channel(style))
    if conv.up:
        x = opset13.convolution_backprop_data(x, constant(weight.swapaxes(0, 1)), [2, 2], None, [0, 0], [0, 0])
        kernel = np.broadcast_to(conv.filter.numpy(), (weight.shape[0], 1, 1, 4, 4))
        x = opset13.group_convolution(x, constant(kernel), [1, 1], [1, 1], [1, 1], [1, 1])
    else:
        x = opset13.convolution(x, constant(weight), [1, 1], [1, 1], [1, 1], [1, 1])
    x = opset13.multiply(x, _per_channel(demodulation))
    x = opset13.add(x, constant(conv.bias.numpy().reshape(1, -1, 1, 1) * GAIN))
    x = opset13.prelu(x if noise is None else opset13.add(x, noise), opset13.constant(np.array([LEAK], np.float32)))
    return _clamped(x, conv.conv_clamp)


def _to_rgb(x: Node, torgb: ToRGB, w: Node) -> Node:
    weight = torgb.weight.numpy()
    style = _per_channel(_style(w, torgb.affine, 1 / weight.shape[1] ** 0.5))
    kernel = opset13.multiply(constant(weight), style)  # (3, C, 1, 1): smaller than the features
    colours = opset13.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
    return _clamped(opset13.add(colours, constant(torgb.bias.numpy().reshape(1, 3, 1, 1))), torgb.conv_clamp)


def _upsample(image: Node, module: StyleGAN2) -> Node:
    kernel = constant(np.broadcast_to(module.filter.numpy(), (3, 1, 1, 4, 4)))
    return opset13.group_convolution_backprop_data(image, kernel, [2, 2], None, [1, 1], [1, 1])


def _style(w: Node, affine: FullyConnected, gain: float) -> Node:
    weight, bias = (affine.weight * affine.weight_gain).numpy(), (affine.bias * affine.bias_gain).numpy()
    return opset13.add(opset13.matmul(w, constant(weight * gain), False, True), constant(bias[None] * gain))


def _per_channel(values: Node) -> Node:
    return opset13.unsqueeze(values, integers(2, 3))  # (1, C) -> (1, C, 1, 1)


def _clamped(x: Node, bound: float | None) -> Node:
    return x if bound is None else opset13.clamp(x, -bound, bound)
