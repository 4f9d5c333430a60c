# SPDX-License-Identifier: GPL-3.0-or-later
"""Distributions of the latent z_t. Shapes: Z latent width, G parts of it, W = Z / G, K mixture components."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian: ``mean`` and ``log_variance``, both (…, Z)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised sample for standard normal ``noise`` (…, Z)."""
        return self.mean + noise * (0.5 * self.log_variance).exp()

    def log_density(self, z: Tensor) -> Tensor:
        """Natural log density of ``z`` (…, Z), summed over Z: (…,)."""
        squared = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (squared + self.log_variance + math.log(2 * math.pi)).sum(-1)

    def divergence(self, other: Gaussian) -> Tensor:
        """KL(self || other) of every coordinate, in nats, (…, Z)."""
        squared = (self.mean - other.mean).square()
        ratio = (self.log_variance.exp() + squared) / other.log_variance.exp()
        return 0.5 * (other.log_variance - self.log_variance + ratio - 1)


@dataclass(frozen=True)
class Mixture:
    """A mixture of K diagonal Gaussians: ``log_weight`` (…, K), ``mean`` and ``log_variance`` (…, K, Z).

    K = 1 is the paper's Gaussian prior. With K > 1 it can say "a 5 % chance of a blink", which a Gaussian cannot.
    """

    log_weight: Tensor
    mean: Tensor
    log_variance: Tensor

    def log_density(self, z: Tensor) -> Tensor:
        """Natural log density of ``z`` (…, Z): (…,)."""
        components = Gaussian(self.mean, self.log_variance).log_density(z.unsqueeze(-2))
        return torch.logsumexp(self.log_weight + components, dim=-1)

    def sample(self, noise: Tensor, gumbel: Tensor, temperature: Tensor | float = 1.0) -> Tensor:
        """Sample for standard normal ``noise`` (…, Z) and standard Gumbel ``gumbel`` (…, K).

        ``temperature`` (broadcast against both) scales the draws: 0 takes the mean of the likeliest component.
        """
        chosen = (self.log_weight + temperature * gumbel).argmax(-1)
        index = chosen[..., None, None].expand(*chosen.shape, 1, self.mean.shape[-1])
        mean = self.mean.gather(-2, index).squeeze(-2)
        log_variance = self.log_variance.gather(-2, index).squeeze(-2)
        return Gaussian(mean, log_variance).sample(temperature * noise)


@dataclass(frozen=True)
class Chain:
    """z in G parts, one after the other: each a mixture of K Gaussians that is told the parts before it (chain rule).

    A blink, a glance and a nod come and go by themselves. One mixture of the whole z needs a component for every
    combination of them; parts with K components each have K^G.

    Attributes:
        told: what each part is told by the state, (…, G, K (1 + 2 W)): log weights before normalisation, then means,
            then log variances.
        earlier: what the parts before add to it, (G K (1 + 2 W), Z), zero from a part's own on; None where G = 1.
    """

    told: Tensor
    components: int
    earlier: Tensor | None

    def given(self, z: Tensor) -> Mixture:
        """The mixture (…, G) of each part where those before it are as in ``z`` (…, Z)."""
        if self.earlier is None:
            return self._mixture(self.told)
        return self._mixture(self.told + F.linear(z, self.earlier).view_as(self.told))

    def log_density(self, z: Tensor) -> Tensor:
        """Natural log density of ``z`` (…, Z): (…,)."""
        return self.given(z).log_density(z.unflatten(-1, (self.told.shape[-2], -1))).sum(-1)

    def sample(self, noise: Tensor, gumbel: Tensor) -> Tensor:
        """Sample (…, Z) for standard normal ``noise`` (…, Z) and standard Gumbel ``gumbel`` (…, G K)."""
        parts = self.told.shape[-2]
        noise, gumbel = noise.unflatten(-1, (parts, -1)), gumbel.unflatten(-1, (parts, -1))
        drawn: list[Tensor] = []
        for part, told in enumerate(self.told.unbind(-2)):
            if self.earlier is not None and drawn:
                before = torch.cat(drawn, -1)
                rows = self.earlier[part * told.shape[-1] : (part + 1) * told.shape[-1], : before.shape[-1]]
                told = told + F.linear(before, rows)
            drawn.append(self._mixture(told).sample(noise[..., part, :], gumbel[..., part, :]))
        return torch.cat(drawn, -1)

    def _mixture(self, told: Tensor) -> Mixture:
        weight, *rest = told.split([self.components, *2 * [(told.shape[-1] - self.components) // 2]], -1)
        mean, log_variance = (values.unflatten(-1, (self.components, -1)) for values in rest)
        return Mixture(weight.log_softmax(-1), mean, log_variance.clamp(-8.0, 4.0))


def gumbel_like(x: Tensor) -> Tensor:
    """Standard Gumbel draws of the shape of ``x``."""
    uniform = torch.rand_like(x).clamp_(1e-9, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))
