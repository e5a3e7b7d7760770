"""A convolutional network in plain torch: the bench and the process of the rival package both build it."""

import math

from torch import nn

CHANNELS, STRIDES, SIDE = (16, 32, 64), (1, 2, 2), 28


def convolutions(outputs: int = 10) -> nn.Sequential:
    """3x3 convolutions 16-32-64 with strides 1-2-2, each with BatchNorm and ReLU, then linear; for (n, 1, 28, 28)."""
    layers, inputs, side = [], 1, SIDE
    for channels, stride in zip(CHANNELS, STRIDES, strict=True):
        layers += [nn.Conv2d(inputs, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        inputs, side = channels, math.ceil(side / stride)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * side * side, outputs))
