"""Training of the InfluenceMapper with torch-geometric; the only module here that imports torch.

Edges of each hour come from the window before it and are applied to the hour after it, so the
layer is trained on predictions that could have been made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.nn import MessagePassing

from crucible.features.grid import Grid, Matrix
from crucible.features.influence.mapper import (
    CLIP,
    InfluenceArrays,
    InfluenceError,
    autoregression,
    lagged_moments,
    select_edges,
)
from crucible.features.technical import market_grid
from crucible.market.candles import Candles, Floats, Integers
from crucible.settings import FeatureSettings

UNITS = 4
STEPS = 60
SURROGATES = 120
CONFIDENCE = 0.95
STRIDE = 2  # every second minute is a sample: neighbours share five of their six lags


class InfluenceLayer(MessagePassing):
    """One additive layer: each edge sends a gated prediction of its target's next return.

    Parameters
    ----------
    lags : int
    units : int
        Width of the small perceptron beside the linear part.
    """

    first_theta: torch.Tensor
    first_gate: torch.Tensor

    def __init__(self, lags: int, units: int = UNITS) -> None:
        super().__init__(aggr="add")
        # Learned as departures, so that weight decay pulls towards these and not towards zero.
        self.register_buffer("first_theta", torch.ones(lags, dtype=torch.float64))
        self.register_buffer("first_gate", torch.tensor([1.0, 4.0], dtype=torch.float64))
        self.theta_change = torch.nn.Parameter(torch.zeros(lags, dtype=torch.float64))
        self.gate_change = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
        self.hidden = torch.nn.Linear(lags + 1, units, dtype=torch.float64)
        self.out = torch.nn.Parameter(torch.zeros(units, dtype=torch.float64))

    @property
    def theta(self) -> torch.Tensor:
        """Weights of the lags, shape (lags,)."""
        return self.first_theta + self.theta_change

    @property
    def gate(self) -> torch.Tensor:
        """Bias and slope of the gate over the quality, shape (2,)."""
        return self.first_gate + self.gate_change

    def forward(
        self,
        x: torch.Tensor,
        edge_index: torch.Tensor,
        coefficients: torch.Tensor,
        quality: torch.Tensor,
    ) -> torch.Tensor:
        """Predict each node's next standardised return.

        Parameters
        ----------
        x : Tensor, shape (nodes, lags)
            Standardised returns, newest first.
        edge_index : Tensor of int64, shape (2, edges)
            Sources, then targets.
        coefficients : Tensor, shape (edges, lags)
        quality : Tensor, shape (edges, 1)

        Returns
        -------
        Tensor, shape (nodes,)
        """
        sent = self.propagate(edge_index, x=x, coefficients=coefficients, quality=quality)
        predicted: torch.Tensor = sent.squeeze(-1)
        return predicted

    def message(
        self, x_j: torch.Tensor, coefficients: torch.Tensor, quality: torch.Tensor
    ) -> torch.Tensor:
        """Messages along edges, shape (edges, 1)."""
        products = coefficients * x_j
        bias, slope = self.gate
        gate = torch.sigmoid(bias + slope * quality)
        linear = (products * self.theta).sum(dim=1, keepdim=True)
        inner = torch.tanh(self.hidden(torch.cat([products, quality], dim=1)))
        bent = (inner * self.out).sum(dim=1, keepdim=True)
        return gate * (linear + bent)

    def arrays(self, threshold: float, trained_until: int) -> InfluenceArrays:
        """Export the parameters for serving."""

        def plain(tensor: torch.Tensor) -> Floats:
            values: Floats = tensor.detach().numpy().astype(np.float64)
            return values

        return InfluenceArrays(
            theta=plain(self.theta),
            gate=plain(self.gate),
            hidden=plain(self.hidden.weight),
            hidden_bias=plain(self.hidden.bias),
            out=plain(self.out),
            threshold=np.array([threshold]),
            trained_until=np.array([trained_until], np.int64),
        )


def train_influence(
    candles: Mapping[str, Candles], settings: FeatureSettings, seed: int
) -> InfluenceArrays:
    """Train the mapper on history.

    Parameters
    ----------
    candles : mapping of str to Candles
        One-minute candles of at least two symbols, longer than the settings' window by a day, and
        the day that the first volatility needs.
    settings : FeatureSettings
    seed : int
        Decides the initial weights and the surrogates; the same seed gives the same bytes.

    Raises
    ------
    InfluenceError
        If there are fewer than two symbols or too little history.
    """
    if len(candles) < 2:
        message = f"influence needs two symbols or more, not {list(candles)}"
        raise InfluenceError(message)
    grid = market_grid(candles)
    window = settings.influence_window_days * 1_440
    hours = _hours(grid, settings)
    if not hours:
        days = settings.influence_window_days + 2
        message = (
            f"{len(grid.minutes)} minutes of history are too few to train influence; give at "
            f"least {days} days or lower features.influence_window_days"
        )
        raise InfluenceError(message)
    generator = np.random.default_rng(seed)
    threshold = surrogate_threshold(grid, hours, window, settings, generator)
    samples = _samples(grid, hours, window, settings, threshold)
    layer = _fit(samples, settings.influence_lags, seed)
    return layer.arrays(threshold, int(grid.minutes[-1]))


def surrogate_threshold(
    grid: Grid,
    hours: Sequence[int],
    window: int,
    settings: FeatureSettings,
    generator: np.random.Generator,
) -> float:
    """Give what a graph's strongest edge exceeds in 5 % of circular-shift surrogates.

    All targets are turned by one random amount against all sources. That ends every relation over
    time and keeps how the assets move together, on which the shrinking of a ridge depends.
    """
    lags = settings.influence_lags
    picks = np.linspace(0, len(hours) - 1, 4).astype(int)
    strongest = []
    for pick in picks:
        end = grid.row(hours[pick]) + 1
        sources, targets = _lagged(grid.standard[end - window : end], lags)
        within = sources.T @ sources, targets.T @ targets
        for _ in range(SURROGATES // len(picks)):
            shift = int(generator.integers(60, len(targets) - 60))
            cross = sources.T @ np.roll(targets, shift, axis=0)
            moments = np.block([[within[0], cross], [cross.T, within[1]]])
            _, statistic = autoregression(moments, len(targets), lags)
            strongest.append(statistic.max())
    return float(np.quantile(strongest, CONFIDENCE))


def _lagged(standard: Matrix, lags: int) -> tuple[Matrix, Matrix]:
    """Rows of lagged and of current returns in the order of `lagged_moments`, whole rows only."""
    clipped = np.clip(standard, -CLIP, CLIP)
    past = [clipped[lags - lag : len(clipped) - lag] for lag in range(1, lags + 1)]
    sources = np.stack(past, axis=2).reshape(len(clipped) - lags, -1)
    targets = clipped[lags:]
    whole = np.isfinite(sources).all(axis=1) & np.isfinite(targets).all(axis=1)
    return sources[whole], targets[whole]


@dataclass(frozen=True, slots=True)
class _Samples:
    """Nodes of all samples one below the other, and the edges between them."""

    x: Matrix
    target: Floats
    edge_index: Integers
    coefficients: Matrix
    quality: Floats


def _hours(grid: Grid, settings: FeatureSettings) -> list[int]:
    """Hours with a full window of standardised returns before them and an hour after them."""
    known = np.flatnonzero(np.isfinite(grid.standard).any(axis=1))
    if len(known) == 0:
        return []
    every = settings.influence_every
    first = grid.start + int(known[0]) + settings.influence_window_days * 1_440
    last = int(grid.minutes[-1]) - every
    start = -(-first // every) * every
    return list(range(start, last + 1, every))


def _samples(
    grid: Grid, hours: Sequence[int], window: int, settings: FeatureSettings, threshold: float
) -> _Samples:
    lags, every = settings.influence_lags, settings.influence_every
    blocks = {}
    first = hours[0] - window + every
    for hour in range(first, hours[-1] + 1, every):
        end = grid.row(hour) + 1
        blocks[hour] = lagged_moments(grid.standard[end - every - lags : end], lags)
    xs, targets, edges, coefficients, qualities = [], [], [], [], []
    nodes = 0
    for hour in hours:
        held = [blocks[past] for past in range(hour - window + every, hour + 1, every)]
        moments = np.sum([block[0] for block in held], axis=0)
        rows = sum(block[1] for block in held)
        # Every node's strongest edges, significant or not: the gate has to learn the difference.
        graph = select_edges(moments, rows, lags, settings.influence_edges, threshold, always=True)
        for minute in range(hour, hour + every, STRIDE):
            row = grid.row(minute)
            x = grid.standard[row - lags + 1 : row + 1][::-1].T
            y = grid.standard[row + 1]
            if not (np.isfinite(x).all() and np.isfinite(y).all()):
                continue
            xs.append(np.clip(x, -CLIP, CLIP))
            targets.append(np.clip(y, -CLIP, CLIP))
            edges.append(np.stack([graph.source, graph.target]) + nodes)
            coefficients.append(graph.coefficients)
            qualities.append(graph.quality)
            nodes += len(y)
    if not xs:
        message = "no minute of the training history has every lag known; fill its gaps first"
        raise InfluenceError(message)
    return _Samples(
        np.concatenate(xs),
        np.concatenate(targets),
        np.concatenate(edges, axis=1),
        np.concatenate(coefficients),
        np.concatenate(qualities),
    )


def _fit(samples: _Samples, lags: int, seed: int) -> InfluenceLayer:
    threads = torch.get_num_threads()
    # Sums over threads come in any order; one thread makes the same seed give the same bytes.
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = InfluenceLayer(lags)
        x = torch.from_numpy(samples.x)
        target = torch.from_numpy(samples.target)
        edge_index = torch.from_numpy(samples.edge_index)
        coefficients = torch.from_numpy(samples.coefficients)
        quality = torch.from_numpy(samples.quality).unsqueeze(1)
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.03, weight_decay=1e-3)
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = ((layer(x, edge_index, coefficients, quality) - target) ** 2).mean()
            loss.backward()
            optimiser.step()
    finally:
        torch.set_num_threads(threads)
    return layer
