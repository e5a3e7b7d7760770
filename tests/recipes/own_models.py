"""Networks and losses as a user might have them: nothing the program has seen."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class Small(nn.Module):
    """A convolution with BatchNorm, dropout, a buffer that scales the input and a frozen bias."""

    def __init__(self, width=6, classes=10):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, width, 3, 2, 1), nn.BatchNorm2d(width)
        self.drop, self.fc = nn.Dropout(0.2), nn.Linear(16 * width, classes)
        self.register_buffer("scale", torch.ones(1))
        self.fc.bias.requires_grad_(False)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x * self.scale)))
        return self.fc(self.drop(x.flatten(1)))


class Tied(nn.Module):
    """A little language model whose embedding is also its output layer, with its predictions in a wrapping."""

    def __init__(self, vocabulary=17, size=8):
        super().__init__()
        self.embed, self.mix = nn.Embedding(vocabulary, size), nn.Linear(size, size)
        self.head = nn.Linear(size, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        h = self.embed(tokens)
        h = h + torch.tanh(self.mix(h.cumsum(1) / (1 + torch.arange(h.shape[1])[:, None])))
        return {"logits": self.head(h)}


class Plain(nn.Module):
    """Two hidden layers without normalisation, on flattened pictures."""

    def __init__(self, inputs=64, hidden=(12, 9), outputs=10):
        super().__init__()
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x):
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def small(width=6):
    return Small(width)


def tied():
    return Tied()


def plain(**sizes):
    return Plain(**sizes)


def brier(outputs, targets):
    return (outputs.softmax(-1) - functional.one_hot(targets, outputs.shape[-1])).square().sum(-1)
