"""gymnasium-robotics' `mamujoco_v1` worlds, built so that the same name is the same world everywhere.

Two partitions need a hand:

* Walker2d 6x1 is not upstream's. It is made of the joints of 2x3, one agent each, in the order of the actuators.
* ManySegmentSwimmer's model is generated. Upstream writes the file into its own installed package, which a
  second process overwrites and a read-only installation refuses; here it is written into a temporary folder.

Upstream sorts the joints that an agent sees by name. Two joints of Pusher share one, `r_wrist_roll_joint`, and
their order is that of two memory addresses: it changes from process to process. Here equal names are in the
order of the actuators.

Left out: ManySegmentAnt, where agents see the joints of other segments than those they drive (the index runs
backwards) and each leg's action drives the other leg; CoupledHalfCheetah, which stops on MuJoCo 3.6 and newer;
the pendulums, which have no partition.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, Final

from env_adapters.mamujoco.quiet import import_robotics, python_warnings
from env_adapters.mamujoco.robots import RoboticsTeam

mamujoco_v1 = import_robotics().mamujoco_v1

import gymnasium  # noqa: E402
from gymnasium_robotics.envs.multiagent_mujoco import many_segment_swimmer, obsk  # noqa: E402

_OPTIONS: Final = {"max_episode_steps": -1, "disable_env_checker": True}
"""No TimeLimit wrapper: its counter would not follow a restored snapshot."""


def make_parallel_env(team: RoboticsTeam, depth: int) -> Any:
    """Build upstream's world of a team, without a time limit.

    Args:
        team: robot and partition.
        depth: upstream's agent_obsk, how many joints away an agent sees.

    Returns:
        `mamujoco_v1.parallel_env`, not reset.
    """
    parts, edges, global_nodes = _graph(team)
    with python_warnings():
        return mamujoco_v1.parallel_env(
            team.task,
            team.partition,
            agent_obsk=depth,
            agent_factorization={"partition": parts, "edges": edges, "globals": global_nodes},
            gym_env=_generated(team),
            **_OPTIONS,
        )


def _graph(team: RoboticsTeam) -> tuple[list[tuple[Any, ...]], list[Any], list[Any]]:
    """Per agent its joints, which joints are neighbours, and what every agent sees."""
    singles = (team.task, team.partition) == ("Walker2d", "6x1")
    parts, edges, global_nodes = obsk.get_parts_and_edges(team.task, "2x3" if singles else team.partition)
    joints = sorted(itertools.chain.from_iterable(parts), key=lambda joint: joint.act_ids)
    for joint in joints:
        joint.label = f"{joint.label} {joint.act_ids:02d}"  # A space sorts before every letter and digit.
    return [(joint,) for joint in joints] if singles else parts, edges, global_nodes


def _generated(team: RoboticsTeam) -> Any:
    """The single-agent environment of a robot whose model upstream generates; None for the others."""
    if team.task != "ManySegmentSwimmer":
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.xml")
        write_generated(team, path)
        return gymnasium.make("Swimmer-v5", xml_file=str(path), **_OPTIONS)


def write_generated(team: RoboticsTeam, path: Path) -> None:
    """Write the model of ManySegmentSwimmer, with agents x segments per agent, to an XML file."""
    agents, segments = (int(number) for number in team.partition.split("x"))
    many_segment_swimmer.gen_asset(agents * segments, str(path))
