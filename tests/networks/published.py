"""The published networks written out again from their sources, for comparison: nothing of embedlab is used.

Width and blocks are parameters; everything else is as the sources have it. Each class names its source.
"""

import torch
from torch import nn


class SE(nn.Module):
    """All sources with squeeze-and-excitation have this one."""

    def __init__(self, c):
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(c, c // 16, 1, padding=0, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(c // 16, c, 1, padding=0, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return x * self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))


def shortcut(c, d, stride):
    if c == d:
        return nn.MaxPool2d(1, stride)
    return nn.Sequential(nn.Conv2d(c, d, (1, 1), stride, bias=False), nn.BatchNorm2d(d))


class CavaBlock(nn.Module):
    """cavaface ``common.py``, face.evoLVe and InsightFace_Pytorch: ``bottleneck_IR`` and ``…_SE``."""

    def __init__(self, c, d, stride, se):
        super().__init__()
        self.shortcut_layer = shortcut(c, d, stride)
        layers = [
            nn.BatchNorm2d(c),
            nn.Conv2d(c, d, (3, 3), (1, 1), 1, bias=False),
            nn.PReLU(d),
            nn.Conv2d(d, d, (3, 3), stride, 1, bias=False),
            nn.BatchNorm2d(d),
        ]
        self.res_layer = nn.Sequential(*layers, *([SE(d)] if se else []))

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class AdaBlock(nn.Module):
    """AdaFace ``net.py``: ``BasicBlockIR`` and ``BasicBlockIRSE``."""

    def __init__(self, c, d, stride, se):
        super().__init__()
        self.shortcut_layer = shortcut(c, d, stride)
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(c),
            nn.Conv2d(c, d, (3, 3), (1, 1), 1, bias=False),
            nn.BatchNorm2d(d),
            nn.PReLU(d),
            nn.Conv2d(d, d, (3, 3), stride, 1, bias=False),
            nn.BatchNorm2d(d),
        )
        if se:
            self.res_layer.add_module("se_block", SE(d))

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class Flatten(nn.Module):
    def forward(self, x):
        return x.view(x.size(0), -1)


class Backbone(nn.Module):
    """``Backbone`` of cavaface, face.evoLVe, InsightFace_Pytorch (``affine``) and AdaFace."""

    def __init__(self, block, units, *, se, affine, side, width, dimension):
        super().__init__()
        w = width
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, w, (3, 3), 1, 1, bias=False), nn.BatchNorm2d(w), nn.PReLU(w)
        )
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(8 * w),
            nn.Dropout(0.4),
            Flatten(),
            nn.Linear(8 * w * side * side, dimension),
            nn.BatchNorm1d(dimension, affine=affine),
        )
        body = []
        for (c, d), count in zip([(w, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w)], units, strict=True):
            body += [block(c, d, 2, se)] + [block(d, d, 1, se) for _ in range(count - 1)]
        self.body = nn.Sequential(*body)

    def forward(self, x):
        return self.output_layer(self.body(self.input_layer(x)))


class IBasicBlock(nn.Module):
    """InsightFace ``iresnet.py``."""

    def __init__(self, c, d, stride=1, downsample=None):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c, eps=1e-05)
        self.conv1 = nn.Conv2d(c, d, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(d, eps=1e-05)
        self.prelu = nn.PReLU(d)
        self.conv2 = nn.Conv2d(d, d, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(d, eps=1e-05)
        self.downsample = downsample

    def forward(self, x):
        out = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """InsightFace ``iresnet.py``: every stage begins with stride 2 and a convolved shortcut."""

    def __init__(self, units, *, side, width, dimension):
        super().__init__()
        w = self.inplanes = width
        self.conv1 = nn.Conv2d(3, w, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(w, eps=1e-05)
        self.prelu = nn.PReLU(w)
        self.layer1 = self.layer(w, units[0])
        self.layer2 = self.layer(2 * w, units[1])
        self.layer3 = self.layer(4 * w, units[2])
        self.layer4 = self.layer(8 * w, units[3])
        self.bn2 = nn.BatchNorm2d(8 * w, eps=1e-05)
        self.dropout = nn.Dropout(p=0, inplace=True)
        self.fc = nn.Linear(8 * w * side * side, dimension)
        self.features = nn.BatchNorm1d(dimension, eps=1e-05)

    def layer(self, d, count):
        downsample = nn.Sequential(
            nn.Conv2d(self.inplanes, d, 1, 2, bias=False), nn.BatchNorm2d(d, eps=1e-05)
        )
        blocks = [IBasicBlock(self.inplanes, d, 2, downsample)]
        self.inplanes = d
        return nn.Sequential(*blocks, *(IBasicBlock(d, d) for _ in range(1, count)))

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = self.dropout(torch.flatten(self.bn2(x), 1))
        return self.features(self.fc(x))


class ConvBlock(nn.Module):
    """InsightFace_Pytorch ``model.py``: ``Conv_block``, and ``Linear_block`` without the PReLU."""

    def __init__(self, c, d, kernel=1, stride=1, padding=0, groups=1, linear=False):
        super().__init__()
        self.conv = nn.Conv2d(c, d, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(d)
        if not linear:
            self.prelu = nn.PReLU(d)

    def forward(self, x):
        x = self.bn(self.conv(x))
        return self.prelu(x) if hasattr(self, "prelu") else x


class DepthWise(nn.Module):
    def __init__(self, c, d, groups, stride=2, residual=False):
        super().__init__()
        self.conv = ConvBlock(c, groups)
        self.conv_dw = ConvBlock(groups, groups, 3, stride, 1, groups)
        self.project = ConvBlock(groups, d, linear=True)
        self.residual = residual

    def forward(self, x):
        out = self.project(self.conv_dw(self.conv(x)))
        return x + out if self.residual else out


class Residual(nn.Module):
    def __init__(self, c, count, groups):
        super().__init__()
        self.model = nn.Sequential(*(DepthWise(c, c, groups, 1, residual=True) for _ in range(count)))

    def forward(self, x):
        return self.model(x)


class MobileFaceNet(nn.Module):
    """InsightFace_Pytorch ``model.py``."""

    def __init__(self, *, side, width, dimension):
        super().__init__()
        w = width
        self.conv1 = ConvBlock(3, w, 3, 2, 1)
        self.conv2_dw = ConvBlock(w, w, 3, 1, 1, groups=w)
        self.conv_23 = DepthWise(w, w, 2 * w)
        self.conv_3 = Residual(w, 4, 2 * w)
        self.conv_34 = DepthWise(w, 2 * w, 4 * w)
        self.conv_4 = Residual(2 * w, 6, 4 * w)
        self.conv_45 = DepthWise(2 * w, 2 * w, 8 * w)
        self.conv_5 = Residual(2 * w, 2, 4 * w)
        self.conv_6_sep = ConvBlock(2 * w, 8 * w)
        self.conv_6_dw = ConvBlock(8 * w, 8 * w, side, groups=8 * w, linear=True)
        self.conv_6_flatten = Flatten()
        self.linear = nn.Linear(8 * w, dimension, bias=False)
        self.bn = nn.BatchNorm1d(dimension)

    def forward(self, x):
        x = self.conv_3(self.conv_23(self.conv2_dw(self.conv1(x))))
        x = self.conv_5(self.conv_45(self.conv_4(self.conv_34(x))))
        return self.bn(self.linear(self.conv_6_flatten(self.conv_6_dw(self.conv_6_sep(x)))))


UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}


def shaped(source, layers=18, *, se=False, side=2, width=16, dimension=12):
    """Make a published network."""
    shape = {"side": side, "width": width, "dimension": dimension}
    if source == "iresnet":
        return IResNet(UNITS[layers], **shape)
    if source == "mobilefacenet":
        return MobileFaceNet(**shape)
    block = AdaBlock if source == "adaface" else CavaBlock
    return Backbone(block, UNITS[layers], se=se, affine=source == "face.evoLVe", **shape)


def made(source, layers=18, *, seed=0, **options):
    """Make one with random weights and BatchNorm statistics of noise, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = shaped(source, layers, **options)
        for name, tensor in network.state_dict().items():
            if tensor.ndim == 1 and "running" not in name:
                tensor.uniform_(0.3, 1.2)
        # With other statistics than those of some images the images are lost on the way.
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.rand(4, 3, 32, 32) * 2 - 1)
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor += 0.1 * torch.randn_like(tensor) * tensor.std()
            elif name.endswith("running_var"):
                tensor *= torch.empty_like(tensor).uniform_(0.7, 1.4)
    return network.eval()
