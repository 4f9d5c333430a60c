# SPDX-License-Identifier: GPL-3.0-or-later
"""Distributions of the latent z_t. Shapes: Z latent width, K mixture components."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
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


def gumbel_like(x: Tensor) -> Tensor:
    """Standard Gumbel draws of the shape of ``x``."""
    uniform = torch.rand_like(x).clamp_(1e-9, 1 - 1e-7)
    return -torch.log(-torch.log(uniform))
