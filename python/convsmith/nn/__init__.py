"""Layers, containers, initial values and losses."""

from convsmith.nn import init
from convsmith.nn.activation import (
    Activation,
    Hardswish,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from convsmith.nn.containers import Concat, Residual, Sequential
from convsmith.nn.conv import Conv2d, ConvTranspose2d
from convsmith.nn.dropout import Dropout
from convsmith.nn.graph import Graph
from convsmith.nn.layer import Cache, Layer, Parameter
from convsmith.nn.linear import Flatten, Identity, Linear
from convsmith.nn.loss import binary_cross_entropy_with_logits, cross_entropy, mse_loss
from convsmith.nn.merge import Add, Concatenate
from convsmith.nn.norm import BatchNorm1d, BatchNorm2d, LocalResponseNorm
from convsmith.nn.pool import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)
from convsmith.nn.upsample import Upsample

__all__ = [
    "Activation",
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Cache",
    "Concat",
    "Concatenate",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Graph",
    "Hardswish",
    "Identity",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Upsample",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "init",
    "mse_loss",
]
