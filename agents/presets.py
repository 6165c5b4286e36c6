"""Named variants of the agents: which options they set, and nothing else. Importing this module loads no torch.

A preset is a starting configuration: every option can still be given. What it trains is stored under the name of
its agent, with all options written out.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple


class Preset(NamedTuple):
    """One variant."""

    name: str
    agent: str
    """Name of the agent it configures."""
    summary: str
    overrides: Mapping[str, Any]
    """Options that differ from the agent's defaults."""


def _preset(name: str, agent: str, summary: str, **overrides: Any) -> Preset:
    return Preset(name, agent, summary, MappingProxyType(overrides))


PRESETS: Final = (
    _preset(
        "vgm2p-positive",
        "vgm2p",
        "guided target on advantageous rows only: same fixed point, stable at the paper's w",
        cfg_rows="positive",
    ),
    _preset(
        "vgm2p-null",
        "vgm2p",
        "real guidance, away from a learned null token (labels dropped at 10 %)",
        uncond="null",
    ),
    _preset("vgm2p-c0", "vgm2p", "real guidance, away from the disadvantageous actions (c = 0)", uncond="c0"),
    _preset(
        "vgm2p-fm",
        "vgm2p",
        "VGM2P (FM): instantaneous velocity only, 10 Euler steps",
        instantaneous=1.0,
        flow_steps=10,
        sampler="euler",
    ),
    _preset(
        "vgm2p-independent",
        "vgm2p",
        "ablation of Fig. 2: every agent's value learns by itself",
        mix="independent",
    ),
    _preset(
        "bc-flow-distilled",
        "bc-flow",
        "MAC-Flow's released flow cloning: a one-step student acts (α = 3)",
        distill=3.0,
    ),
    _preset(
        "mac-flow-released",
        "mac-flow",
        "MAC-Flow as released for SMAC: no value gradient reaches the student (4 x 256, no recurrence)",
        hidden=(256, 256, 256, 256),
        discount=0.99,
        alpha=3.0,
        normalize_q=False,
        guidance="argmax",
        distill="argmax",
        td_members="mean",
        time_embedding="sin8",
        mask_targets=False,
    ),
    _preset(
        "mac-flow-released-mujoco",
        "mac-flow",
        "MAC-Flow as released for continuous actions: mean over agents, α = 1",
        alpha=1.0,
        mix="mean",
    ),
    _preset(
        "om2p-released",
        "om2p",
        "OM2P as released: no derivative, the network's output is the action",
        derivative="zero",
        sort_times=False,
        sampler="raw",
    ),
    _preset(
        "madiff-released",
        "madiff",
        "MADiff-D at its released size for SMAC: channels 128, 512, 1024",
        channels=(128, 512, 1024),
        embedding=128,
    ),
    _preset(
        "madiff-released-mujoco",
        "madiff",
        "MADiff-D at its released size for MuJoCo: 18 steps back, 10 ahead, all 200 steps of sampling",
        channels=(128, 512, 1024),
        embedding=128,
        history=18,
        horizon=10,
        sampling_steps=0,
        returns_scale=1000.0,
        test_return=0.9,
    ),
    _preset(
        "dof-released",
        "dof",
        "DoF over trajectories as released: guidance mostly off, no factors, channels 128, 512, 1024",
        channels=(128, 512, 1024),
        embedding=128,
        noise_factors="one",
        unguided="random",
    ),
    _preset(
        "dof-policy-released",
        "dof-policy",
        "DoF's policy as released: no value gradient reaches it, linear schedule",
        guide="none",
        schedule="linear",
    ),
)
"""Every preset; an agent's own name stands for its defaults."""
