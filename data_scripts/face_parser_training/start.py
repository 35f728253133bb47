"""The network as training begins: DeepLabV3's encoder, which has seen COCO and PASCAL VOC, and a random decoder."""

from __future__ import annotations

import numpy as np
import torch

from stylemixseg._util.paths import data_file, sha256_file
from stylemixseg.models.mobileunet import MobileUNet
from stylemixseg.models.references import NUM_CLASSES

START_FILE = ("models", "deeplabv3_mnv2_pascal_quant.tflite")
START_SHA256 = "350af47fd346ea6d74b58833a351f583ba860e9806ec5bd292ff8d8f1f249398"
FROZEN_BLOCKS = 4  # the encoder's first blocks keep their weights: edges and colours transfer, a third less time


def stored_convolutions() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weights (O, I/groups, h, w) and biases (O) of DeepLabV3's convolutions, in the order of the network.

    They stand in the TensorFlow Lite file as 8-bit steps of a scale. The network is not run.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = data_file(*START_FILE)
    if (digest := sha256_file(path)) != START_SHA256:
        raise ValueError(f"{path} has SHA-256 {digest}, expected {START_SHA256}: it is damaged or another model")
    reader = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    reader.allocate_tensors()
    details = {item["index"]: item for item in reader.get_tensor_details()}

    def real(index: int) -> torch.Tensor:
        scale, zero = details[index]["quantization"]
        return torch.from_numpy((reader.get_tensor(index).astype(np.float64) - zero) * scale).float()

    stored = []
    for op in reader._get_ops_details():
        if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            _, weight, bias = op["inputs"]
            axes = (0, 3, 1, 2) if op["op_name"] == "CONV_2D" else (3, 0, 1, 2)
            stored.append((real(weight).permute(axes).contiguous(), real(bias)))
    return stored


def new_network(seed: int) -> MobileUNet:
    """The network with DeepLabV3's encoder and a random decoder."""
    torch.manual_seed(seed)
    network = MobileUNet(NUM_CLASSES)
    names = {module: name for name, module in network.named_modules()}
    wanted = [m for m in network.features.modules() if isinstance(m, torch.nn.Conv2d)]
    wanted += [network.near, network.context, network.join]
    state = {}
    # the file's last convolution scores PASCAL VOC's classes
    for module, (weight, bias) in zip(wanted, stored_convolutions()[:-1], strict=True):
        state |= {f"{names[module]}.weight": weight, f"{names[module]}.bias": bias}
    network.load_state_dict(network.state_dict() | state)
    return network


def set_training(network: MobileUNet) -> None:
    """Training mode; the first blocks stay as they are."""
    network.train()
    network.features[:FROZEN_BLOCKS].requires_grad_(False)
