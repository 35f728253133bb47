"""Small networks for semantic segmentation with random weights, in folders as `save_pretrained` makes them."""

from __future__ import annotations

from pathlib import Path

import torch

LABELS = {
    "swin-ade": ["wall", "sofa, couch, lounge", "coffee table", "desk", "pool table", "person, individual"],
    "deeplab-voc": ["background", "diningtable", "horse", "person", "sofa"],
}
KINDS = tuple(LABELS)


def save_networks(transformers, folder: Path) -> dict[str, Path]:
    """{kind: the folder of a model and its image processor}, below `folder`."""
    torch.manual_seed(4)
    made = {}
    for kind, make in zip(KINDS, (_swin, _deeplab)):
        made[kind] = folder / kind
        model, processor = make(transformers, dict(enumerate(LABELS[kind])))
        model.save_pretrained(made[kind])
        processor.save_pretrained(made[kind])
    return made


def _swin(transformers, labels):
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_in_channels=32, auxiliary_channels=8, id2label=labels,
        initializer_range=0.3,
    )  # fmt: skip
    processor = transformers.models.segformer.SegformerImageProcessorPil(size={"height": 64, "width": 64})
    return transformers.UperNetForSemanticSegmentation(config), processor


def _deeplab(transformers, labels):
    config = transformers.MobileNetV2Config(
        id2label=labels, depth_multiplier=0.35, output_stride=8, initializer_range=0.3
    )
    processor = transformers.models.mobilenet_v2.MobileNetV2ImageProcessorPil(
        size={"shortest_edge": 65}, crop_size={"height": 65, "width": 65}
    )
    return transformers.MobileNetV2ForSemanticSegmentation(config), processor
