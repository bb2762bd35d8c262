"""Fake quantization to the chip's int8 for training in PyTorch: scales are powers of two, halves are rounded up.

    self.stored = ActivationQuantizer()       # in the module, at each place where the chip stores a tensor
    prepare(model, batches)                   # after training in float: chooses exponents, quantizes weights
    ... train on, with a smaller learning rate ...
    finish(model)
    torch.onnx.export(model, ..., dynamo=False, opset_version=14)

The exported file has a QuantizeLinear and a DequantizeLinear at each of these places; `make deploy` takes its scales
and weights as they are.
"""

import torch
from torch import nn
from torch.nn.utils import parametrize


class Rounded(torch.autograd.Function):
    """x -> q * scale with q = floor(x / scale + 1/2), limited to int8.

    The gradient passes unchanged where the value is in range (straight-through), and is 0 where it is clipped.
    x: any shape; scale: powers of two, [] or one for each index of axis 0
    """

    @staticmethod
    def forward(x, scale):
        steps = scale.reshape(scale.shape + (1,) * (x.dim() - 1)) if scale.dim() else scale
        return torch.clamp(torch.floor(x / steps + 0.5), -128, 127) * steps

    @staticmethod
    def setup_context(context, inputs, output):
        x, scale = inputs
        steps = scale.reshape(scale.shape + (1,) * (x.dim() - 1)) if scale.dim() else scale
        context.save_for_backward((x >= -128.5 * steps) & (x < 127.5 * steps))

    @staticmethod
    def backward(context, gradient):
        (inside,) = context.saved_tensors
        return gradient * inside, None

    @staticmethod
    def symbolic(graph, x, scale):
        """The ONNX nodes that `torch.onnx.export(dynamo=False)` writes for this function."""
        channels = scale.type().sizes()
        zero = graph.op("Constant", value_t=torch.zeros(channels, dtype=torch.int8))
        axis = {"axis_i": 0} if channels else {}
        whole = graph.op("QuantizeLinear", x, scale, zero, **axis)
        return graph.op("DequantizeLinear", whole, scale, zero, **axis).setType(x.type())


def covering_scale(largest):
    """The smallest power of two whose 127 steps reach `largest` (a tensor, > 0)."""
    return torch.exp2(torch.ceil(torch.log2(largest.clamp(min=2.0**-20) / 127)))


class ActivationQuantizer(nn.Module):
    """Passes tensors on until `prepare` has chosen its scale; from then on rounds them to int8."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor(0.0))

    def forward(self, x):
        return Rounded.apply(x, self.scale) if self.scale > 0 else x


class WeightQuantizer(nn.Module):
    """Weights [O, ...] rounded to int8, one power of two for each output channel, which follows them in training."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("scale", covering_scale(weights.detach().abs().flatten(1).amax(1)))

    def forward(self, weights):
        if self.training:
            self.scale = covering_scale(weights.detach().abs().flatten(1).amax(1))
        return Rounded.apply(weights, self.scale)


class BiasQuantizer(nn.Module):
    """Biases [O] rounded to the chip's int32: its scale is that of the input times that of the weights."""

    def __init__(self, source, weights):
        super().__init__()
        self.scales = [lambda: source.scale, lambda: weights.scale]

    def forward(self, bias):
        step = self.scales[0]() * self.scales[1]()
        return bias + (torch.floor(bias / step + 0.5) * step - bias).detach()


def prepare(model, batches):
    """Turn a trained float model into one that computes with the chip's values, in training and in evaluation.

    batches: inputs that resemble the training data; every ActivationQuantizer gets the power of two that rounds and
    clips what they cause with the smallest squared error
    Raises ValueError where the input of a convolution or linear layer comes from no ActivationQuantizer.
    """
    fold_batch_norms(model)
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    sources = _choose_scales(model.eval(), batches, layers)
    for layer in layers:
        weights = WeightQuantizer(layer.weight)
        parametrize.register_parametrization(layer, "weight", weights)
        if layer.bias is not None:
            parametrize.register_parametrization(layer, "bias", BiasQuantizer(sources[layer], weights))


def finish(model):
    """Before the export: the model in evaluation form, its biases as plain values, multiples of their scale."""
    model.eval()
    for layer in list(model.modules()):
        if parametrize.is_parametrized(layer, "bias"):
            parametrize.remove_parametrizations(layer, "bias", leave_parametrized=True)


def fold_batch_norms(model):
    """Put each BatchNorm2d that follows a Conv2d in a Sequential into the convolution: the chip has none either."""
    for parent in list(model.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for i in range(len(parent) - 1):
            if isinstance(parent[i], nn.Conv2d) and isinstance(parent[i + 1], nn.BatchNorm2d):
                parent[i] = nn.utils.fuse_conv_bn_eval(parent[i].eval(), parent[i + 1].eval())
                parent[i + 1] = nn.Identity()


@torch.no_grad()
def _choose_scales(model, batches, layers):
    """Set the scale of each ActivationQuantizer; returns {layer: the quantizer that made its input}."""
    quantizers = [module for module in model.modules() if isinstance(module, ActivationQuantizer)]
    values = {quantizer: [] for quantizer in quantizers}
    # Where a tensor lies in memory: a Flatten or Reshape behind the quantizer leaves it there.
    made_at, sources = {}, {}

    def watch(quantizer, inputs, output):
        values[quantizer].append(output.flatten())
        made_at[output.untyped_storage().data_ptr()] = quantizer

    def find(layer, inputs):
        sources[layer] = made_at.get(inputs[0].untyped_storage().data_ptr())

    hooks = [quantizer.register_forward_hook(watch) for quantizer in quantizers]
    hooks += [layer.register_forward_pre_hook(find) for layer in layers]
    for batch in batches:
        model(batch)
    for hook in hooks:
        hook.remove()
    for name, module in model.named_modules():
        if module in layers and sources.get(module) is None:
            raise ValueError(f"{name}: put an ActivationQuantizer in front of it, and one at the model's input")
    for quantizer, tensors in values.items():
        x = torch.cat(tensors)
        covering = covering_scale(x.abs().max())
        candidates = [covering / 2**finer for finer in range(4)]
        quantizer.scale = min(candidates, key=lambda scale: float((Rounded.apply(x, scale) - x).square().sum()))
    return sources
