"""How unsure an ensemble is of a choice between two: M members, each giving log-odds `z_m` that the first wins.

With `p_m = sigma(z_m)` and `H(p) = -p log p - (1 - p) log(1 - p)`:

- disagreement  sd_m(p_m)  (Christiano et al. 1706.03741, section 2.2.4; B-Pref 2111.03026)
- entropy  mean_m H(p_m): what stays uncertain if any one member is right
- BALD  H(mean_m p_m) - mean_m H(p_m): what an answer would tell about which member is right (Houlsby et al. 1112.5745)
- D-optimality  p (1 - p) x^T H^-1 x, to first order the growth of log det of the information matrix H by one answer
  (2503.01076)

Everything is computed from log-odds, so that nothing is lost where a probability rounds to 0 or 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logsumexp


def log_sigmoid(logit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`log sigma(z) = -log(1 + e^-z)`, in (-inf, 0]; exact in both tails."""
    return -np.logaddexp(0.0, -logit)


def bernoulli_entropy(logit: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`H(sigma(z)) = -sigma(z) log sigma(z) - sigma(-z) log sigma(-z)`, in [0, log 2] nats; even in z."""
    return -expit(logit) * log_sigmoid(logit) - expit(-logit) * log_sigmoid(-logit)


def disagreement(logit: Float[np.ndarray, "member query"]) -> Float[np.ndarray, "query"]:
    """Standard deviation over members of `sigma(z_m)`, in [0, 1/2]."""
    return expit(logit).std(0)


def entropy(logit: Float[np.ndarray, "member query"]) -> Float[np.ndarray, "query"]:
    """`mean_m H(p_m)`, in [0, log 2] nats."""
    return bernoulli_entropy(logit).mean(0)


def bald(logit: Float[np.ndarray, "member query"]) -> Float[np.ndarray, "query"]:
    """`H(mean_m p_m) - mean_m H(p_m)`, in [0, log 2] nats; 0 where the members agree."""
    return np.maximum(bernoulli_entropy(mean_logit(logit)) - entropy(logit), 0.0)


def mean_logit(logit: Float[np.ndarray, "member query"]) -> Float[np.ndarray, "query"]:
    """Log-odds of `mean_m sigma(z_m)`: the smaller of its two probabilities stays exact."""
    return logsumexp(log_sigmoid(logit), axis=0) - logsumexp(log_sigmoid(-logit), axis=0)


def information(
    contrast: Float[np.ndarray, "query feature"], logit: Float[np.ndarray, "query"], damping: float
) -> Float[np.ndarray, "feature feature"]:
    """Fisher information of a linear Bradley-Terry reward: `H = damping I + sum_q p_q (1 - p_q) x_q x_q^T`."""
    weight = expit(logit) * expit(-logit)
    return damping * np.eye(contrast.shape[1]) + (contrast * weight[:, None]).T @ contrast


def d_optimality(
    contrast: Float[np.ndarray, "query feature"],
    logit: Float[np.ndarray, "query"],
    covariance: Float[np.ndarray, "feature feature"],
) -> Float[np.ndarray, "query"]:
    """`p (1 - p) x^T H^-1 x`, at least 0; `covariance` is H^-1."""
    return expit(logit) * expit(-logit) * np.einsum("qf,fg,qg->q", contrast, covariance, contrast)
