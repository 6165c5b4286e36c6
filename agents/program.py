"""One seed, or several stacked ones, and the update of all of them at once.

Stacked, every parameter is [K, ...] and the pure losses of an agent are mapped over the axis K. The sum of the K
losses has the gradient of each in its own slice, and Adam and Polyak averaging work element by element, so that
one pass over everything is K independent trainings, up to rounding of the matrix products.

Nothing here waits for the device: losses are added up, and the first step that went wrong is noted, in tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from typing import Any, Final

import torch
from torch import Tensor

from agents.api import Metrics, OfflineAgent, Params
from agents.resident import Chunk, Draws, ResidentData
from agents.training_options import Execution
from env_adapters.errors import InvalidValueError

COUNT: Final = "steps"
"""Among the sums of metrics, the number of steps they were added up over."""
HUGE: Final = 1e10
"""A loss beyond it counts as diverged."""
_MOMENTS: Final = ("exp_avg", "exp_avg_sq")
_DECAYS, _EPSILON = (0.9, 0.999), 1e-8
"""Of Adam's moments, and what keeps its division finite: the paper's."""
_REHEARSALS: Final = 3
"""Steps outside a graph before one is recorded, as torch asks for."""
Losses = Callable[[Params, Params, Params, Params], tuple[Tensor, Metrics]]


class Program:
    """Parameters, target copies and optimiser of K seeds.

    Args:
        agent: what is trained.
        data: what it learns from; its device is the program's.
        seeds: K training seeds; more than one only if stacked.
        draws: the source of initial weights.
        learning_rate: of Adam.
        device: where tensors live.
        stacked: whether parameters have the axis K.
        execution: precision, compilation, graph.
        length: most steps that `run` is given together.
    """

    def __init__(
        self,
        agent: OfflineAgent,
        data: ResidentData,
        seeds: Sequence[int],
        draws: Draws,
        learning_rate: float,
        device: torch.device,
        stacked: bool,
        execution: Execution,
        length: int,
    ) -> None:
        assert stacked or len(seeds) == 1
        self.agent, self.seeds, self.stacked = agent, tuple(seeds), stacked
        self.length = length
        self._data, self._rate, self._device, self._execution = data, learning_rate, device, execution
        self._fields = tuple(field.name for field in fields(data.batch_type))
        observations = data.observations.cpu()
        fresh = [agent.fit(draws.initial(seed), observations) for seed in seeds]
        self.params = {name: p.requires_grad_() for name, p in self._joined(fresh).items()}
        self.targets = {name: self.params[name].detach().clone() for name in self._target_names()}
        self._moments = {
            key: {name: torch.zeros_like(p.detach()) for name, p in self.params.items()} for key in _MOMENTS
        }
        self._n_updates = torch.zeros((), device=device)
        self._losses = self._make_losses()
        self._sums: dict[str, Tensor] = {}
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self._bad_at = torch.full((len(seeds),), -1, dtype=torch.int64, device=device)
        self._bad_loss = torch.zeros(len(seeds), device=device)
        self._chunk: dict[str, Tensor] = {}
        self._first = 0
        self._graph: Any = None

    def _joined(self, parts: list[Params]) -> Params:
        """Parameters of every seed as the program holds them."""
        if not self.stacked:
            return {name: tensor.to(self._device) for name, tensor in parts[0].items()}
        return {name: torch.stack([part[name] for part in parts]).to(self._device) for name in parts[0]}

    def _target_names(self) -> list[str]:
        return self.agent.target_names(self.params)

    def _make_losses(self) -> Losses:
        """The agent's losses as a function of dictionaries of tensors, mapped over K if stacked: [K] or scalar."""

        def losses(params: Params, targets: Params, batch: Params, noise: Params) -> tuple[Tensor, Metrics]:
            values: dict[str, Any] = {name: batch.get(name) for name in self._fields}
            return self.agent.losses(params, targets, self._data.batch_type(**values), noise)

        made: Losses = losses
        if self.stacked:
            # vmap wants a tensor in every argument that it maps.
            dims = (0, 0 if self.targets else None, 0, 0)
            made = torch.func.vmap(losses, in_dims=dims)
        return torch.compile(made, dynamic=False) if self._execution.compile else made

    def load(self, chunk: Chunk) -> None:
        """Bring what `run` draws from to the device, into the same memory every time."""
        assert chunk.seeds == self.seeds
        drawn = {"": chunk.indices} | chunk.noise
        if not self._chunk:
            self._chunk = {
                name: torch.zeros((self.length, *tensor.shape[1:]), dtype=tensor.dtype, device=self._device)
                for name, tensor in drawn.items()
            }
        for name, tensor in drawn.items():
            self._chunk[name][: len(tensor)].copy_(tensor)
        self._at.zero_()
        self._first = chunk.first
        if self._execution.cuda_graph and self._graph is None:
            self._graph = self._record()

    def run(self, n_steps: int) -> None:
        """Make the first `n_steps` steps of the chunk that was loaded."""
        for _ in range(n_steps):
            if self._graph is None:
                self._step()
            else:
                self._graph.replay()

    def _step(self) -> None:
        drawn = {name: tensor.index_select(0, self._at).squeeze(0) for name, tensor in self._chunk.items()}
        batch = self._data.batch(drawn.pop(""))
        present = {name: value for name in self._fields if (value := getattr(batch, name)) is not None}
        with self._autocast():
            losses, metrics = self._losses(self.params, self.targets, present, drawn)
        self._adam(torch.autograd.grad(losses.sum(), list(self.params.values()), allow_unused=True))
        self._follow()
        self._book(losses.detach().reshape(-1), metrics)

    def _autocast(self) -> AbstractContextManager[object]:
        if self._execution.precision != "bf16":
            return nullcontext()
        # Without its cache of cast weights, which must not be used while a graph is recorded.
        return torch.autocast(self._device.type, dtype=torch.bfloat16, cache_enabled=False)

    @torch.no_grad()
    def _adam(self, gradients: Sequence[Tensor | None]) -> None:
        """Adam (arXiv 1412.6980) in one pass over all tensors that have a gradient.

        What `torch.optim.Adam` comes down to, without its bookkeeping, which takes longer than a small network.
        """
        found = {n: g.contiguous() for n, g in zip(self.params, gradients, strict=True) if g is not None}
        self._n_updates += 1
        torch._fused_adam_(
            [self.params[name] for name in found],
            list(found.values()),
            [self._moments["exp_avg"][name] for name in found],
            [self._moments["exp_avg_sq"][name] for name in found],
            [],
            [self._n_updates] * len(found),
            lr=self._rate,
            beta1=_DECAYS[0],
            beta2=_DECAYS[1],
            weight_decay=0.0,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    @torch.no_grad()
    def _follow(self) -> None:
        """Move target copies towards the parameters at rate tau (Polyak)."""
        if self.targets:
            names = list(self.targets)
            torch._foreach_lerp_(
                [self.targets[n] for n in names], [self.params[n] for n in names], self.agent.config.tau
            )

    @torch.no_grad()
    def _book(self, losses: Tensor, metrics: Metrics) -> None:
        """Add up what the log shows and note the first loss [K] that is not finite or huge."""
        for name, value in {COUNT: torch.ones_like(losses), **metrics}.items():
            if name not in self._sums:
                self._sums[name] = torch.zeros(len(self.seeds), dtype=torch.float64, device=self._device)
            self._sums[name] += value.reshape(-1)
        new = ~(losses.abs() <= HUGE) & (self._bad_at < 0)
        self._bad_at.copy_(torch.where(new, self._at, self._bad_at))
        self._bad_loss.copy_(torch.where(new, losses.float(), self._bad_loss))
        self._at += 1

    def diverged(self, with_weights: bool = False) -> dict[int, tuple[int, str]]:
        """Seeds that went wrong in this chunk -> step, and what was seen; waits for the device.

        Args:
            with_weights: also look for weights that are not finite after the last step.
        """
        found = {}
        for row, at in enumerate(self._bad_at.tolist()):
            if at >= 0:
                found[self.seeds[row]] = (self._first + at + 1, f"loss is {float(self._bad_loss[row]):.3g}")
        if with_weights:
            finite = torch.stack(
                [torch.isfinite(p).reshape(len(self.seeds), -1).all(1) for p in self._rows()]
            )
            for row, sound in enumerate(finite.all(0).tolist()):
                if not sound:
                    step = self._first + int(self._at)
                    found.setdefault(self.seeds[row], (step, "weights are not finite"))
        return found

    def _rows(self) -> list[Tensor]:
        """Every parameter with the axis K."""
        return [p.detach() if self.stacked else p.detach()[None] for p in self.params.values()]

    def take_sums(self) -> dict[int, dict[str, float]]:
        """Metrics of every seed, added up since the last `reset_sums`; waits for the device."""
        values = {name: tensor.tolist() for name, tensor in self._sums.items()}
        return {seed: {name: v[row] for name, v in values.items()} for row, seed in enumerate(self.seeds)}

    def put_sums(self, sums: Mapping[int, Mapping[str, float]]) -> None:
        """Go on adding up from these numbers; {} begins anew. The tensors stay, for a graph writes into them."""
        for tensor in self._sums.values():
            tensor.zero_()
        for name in sums.get(self.seeds[0], {}):
            column = torch.tensor([sums[seed][name] for seed in self.seeds], dtype=torch.float64)
            self._sums.setdefault(name, torch.zeros_like(column, device=self._device)).copy_(column)

    def weights(self, seed: int) -> Params:
        """The parameters by which a seed's agent acts, detached, on the device."""
        row = self.seeds.index(seed)

        def of_seed(tensors: Params) -> Params:
            return {name: (t.detach()[row] if self.stacked else t.detach()) for name, t in tensors.items()}

        return self.agent.acting_params(of_seed(self.params), of_seed(self.targets))

    def state(self) -> dict[str, Tensor]:
        """All tensors that a training goes on from, each with the axis K."""
        found = {f"params.{name}": p.detach() for name, p in self.params.items()}
        found |= {f"targets.{name}": tensor for name, tensor in self.targets.items()}
        for key in _MOMENTS:
            found |= {f"{key}.{name}": tensor for name, tensor in self._moments[key].items()}
        return found if self.stacked else {name: tensor[None] for name, tensor in found.items()}

    @torch.no_grad()
    def put_state(self, state: Mapping[str, Tensor], rows: Sequence[int], step: int) -> None:
        """Go on from rows of what `state` gave, after `step` steps."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name][list(rows)])
        self._n_updates.fill_(float(step))

    def without(self, seeds: Sequence[int], draws: Draws, step: int) -> Program:
        """The same program with some seeds left out (stacked only)."""
        rows = [row for row, seed in enumerate(self.seeds) if seed not in seeds]
        kept = [self.seeds[row] for row in rows]
        smaller = Program(
            self.agent, self._data, kept, draws, self._rate, self._device, True, self._execution, self.length
        )
        smaller.put_state(self.state(), rows, step)
        smaller.put_sums(self.take_sums())
        return smaller

    @torch.no_grad()
    def rehearse(self, n_steps: int = _REHEARSALS) -> None:
        """Make some steps and take them back, so that everything that is allocated or chosen once is there."""
        sums = self.take_sums()
        changing = [*self.state().values(), self._n_updates, self._at, self._bad_at, self._bad_loss]
        before = [tensor.clone() for tensor in changing]
        with torch.enable_grad():
            for _ in range(n_steps):
                self._at.zero_()
                self._step()
        for tensor, value in zip(changing, before, strict=True):
            tensor.copy_(value)
        self.put_sums(sums)

    def _record(self) -> Any:
        """One step as a CUDA graph. Recording computes nothing; the rehearsal before it is taken back."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.rehearse()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._step()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InvalidValueError(
                f"--cuda-graph: a step of '{self.agent.name}' cannot be recorded; leave it away"
            ) from error
        return graph
