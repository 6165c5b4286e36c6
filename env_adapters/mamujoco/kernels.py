"""The arithmetic of one environment step around the physics, compiled: actions in, reward and observations out.

Sums run in the order of NumPy's, so that rewards equal those of the original environments bit for bit where the
physics does.
"""

from __future__ import annotations

import numpy as np

from env_adapters.api import BoolArray, DoubleArray, FloatArray, IntArray
from env_adapters.jit import inner, kernel
from env_adapters.mamujoco.rules import ANT, HOPPER, RulesArray

CLIP, REFUSE, PASS = 0, 1, 2
"""Actions outside [-1, 1] are clipped, refused, or passed on as they are."""


@kernel
def steer(
    rules: RulesArray,
    actions: FloatArray,
    running: BoolArray,
    actuator: IntArray,
    mode: int,
    commands: FloatArray,
    controls: DoubleArray,
) -> int:
    """Write the commands [B, U] of running games, in both precisions, from actions [B, N, A].

    `actuator` [N * A] says which actuator each component drives.

    Returns:
        -1; or the flat index of the first action that is not finite or, of a running game in mode `REFUSE`, outside
        [-1, 1]. Nothing is written then.
    """
    n_games, width = commands.shape[0], actuator.shape[0]
    flat = actions.reshape((n_games, width))
    for game in range(n_games):
        for i in range(width):
            outside = not (-1.0 <= flat[game, i] <= 1.0)
            refused = mode == REFUSE and running[game]
            if outside and (refused or not np.isfinite(flat[game, i])):
                return game * width + i
    for game in range(n_games):
        if running[game]:
            for i in range(width):
                action = flat[game, i]
                if mode == CLIP:
                    action = min(max(action, np.float32(-1.0)), np.float32(1.0))
                if rules[0].legacy:  # as the wrapper NormalizedActions, rounding included
                    action = (action + np.float32(1.0)) / np.float32(2.0)
                    action = action * np.float32(2.0) - np.float32(1.0)
                commands[game, actuator[i]] = action
                controls[game, actuator[i]] = action
    return -1


@inner
def _total(values: DoubleArray, sums: DoubleArray) -> float:
    """Sum of up to 127 numbers in the order of NumPy's: eight running sums, then what is left over.

    `sums` [8] is room to work in.
    """
    sums[:] = 0.0
    whole = values.shape[0] // 8 * 8
    for low in range(0, whole, 8):
        for i in range(8):
            sums[i] += values[low + i]
    total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, values.shape[0]):
        total += values[i]
    return total


@inner
def _total_of_squares(values: DoubleArray, sums: DoubleArray) -> float:
    """As `_total`, of the squares."""
    sums[:] = 0.0
    whole = values.shape[0] // 8 * 8
    for low in range(0, whole, 8):
        for i in range(8):
            sums[i] += values[low + i] * values[low + i]
    total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, values.shape[0]):
        total += values[i] * values[i]
    return total


@inner
def _effort(commands: FloatArray) -> float:
    """Sum of squares in single precision, in the order of NumPy's, of up to 15 numbers."""
    sums = np.zeros(8, dtype=np.float32)
    whole = commands.shape[0] // 8 * 8
    for i in range(whole):
        sums[i] += commands[i] * commands[i]
    total = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]))
    for i in range(whole, commands.shape[0]):
        total += commands[i] * commands[i]
    return total


@inner
def _fallen(fall: int, qpos: DoubleArray, qvel: DoubleArray) -> bool:
    """Whether a pose ends the episode: healthy ranges of Hopper-v2 to v5 and Ant-v2 to v5."""
    if fall == HOPPER:
        for i in range(2, qpos.shape[0]):
            if not abs(qpos[i]) < 100.0:
                return True
        for i in range(qvel.shape[0]):
            if not abs(qvel[i]) < 100.0:
                return True
        return not (qpos[1] > 0.7 and abs(qpos[2]) < 0.2 and np.isfinite(qpos[0]))
    if fall == ANT:
        for i in range(qpos.shape[0]):
            if not np.isfinite(qpos[i]):
                return True
        for i in range(qvel.shape[0]):
            if not np.isfinite(qvel[i]):
                return True
        return not 0.2 <= qpos[2] <= 1.0
    return False


@kernel
def pay(
    rules: RulesArray,
    episode_limit: int,
    commands: FloatArray,
    qpos: DoubleArray,
    qvel: DoubleArray,
    torso_x: DoubleArray,
    contact: DoubleArray,
    x_before: DoubleArray,
    running: BoolArray,
    steps: IntArray,
    terminated: BoolArray,
    rewards: DoubleArray,
) -> int:
    """Book one step of the running games: rewards [B], steps [B], ends; `x_before` [B] follows.

    `torso_x` [B] and `contact` [B, 6 W] as in `simulation.Simulation`.

    Returns:
        How many games are still running.
    """
    rule = rules[0]
    n_running = 0
    for game in range(running.shape[0]):
        rewards[game] = 0.0
        if not running[game]:
            continue
        steps[game] += 1
        x = torso_x[game] if rule.torso_speed else qpos[game, 0]
        forward = (x - x_before[game]) / rule.frame_s
        x_before[game] = x
        fallen = _fallen(rule.fall, qpos[game], qvel[game])
        effort = np.float32(_effort(commands[game]))
        if rule.legacy:
            cost = rule.control_cost * np.float64(effort)
        else:  # single precision, as NumPy 2 multiplies a Python number and a float32
            cost = np.float64(np.float32(rule.control_cost) * effort)
        if rule.contact_cost > 0.0:
            cost += rule.contact_cost * _total_of_squares(contact[game], np.empty(8))
        alive = rule.alive if rule.alive_when_fallen or not fallen else 0.0
        rewards[game] = (forward + alive) - cost
        terminated[game] = fallen
        running[game] = not fallen and steps[game] < episode_limit
        n_running += running[game]
    return n_running


@kernel
def look(
    rules: RulesArray,
    qpos: DoubleArray,
    qvel: DoubleArray,
    contact: DoubleArray,
    features: DoubleArray,
    observations: FloatArray | DoubleArray,
) -> None:
    """Fill features [B, F], what a single agent would observe, and what each of the agents does, [B, N, D].

    Features are positions, velocities and contact forces. In the legacy flavour an agent sees them and its one-hot
    index, standardised over that one vector; else it sees them as they are.
    """
    rule = rules[0]
    n_positions, n_velocities = qpos.shape[1] - rule.first_position, qvel.shape[1]
    n_contact = contact.shape[1] - rule.first_contact
    limit, width = rule.velocity_limit, features.shape[1]
    seen, sums = np.empty(observations.shape[2]), np.empty(8)
    for game in range(qpos.shape[0]):
        row = features[game]
        for i in range(n_positions):
            row[i] = qpos[game, rule.first_position + i]
        for i in range(n_velocities):
            row[n_positions + i] = min(max(qvel[game, i], -limit), limit)
        for i in range(n_contact):
            row[n_positions + n_velocities + i] = contact[game, rule.first_contact + i]
        for agent in range(observations.shape[1]):
            for i in range(seen.shape[0]):
                seen[i] = row[i] if i < width else 1.0 if i == width + agent else 0.0
            if rule.legacy:
                _standardise(seen, sums)
            for i in range(seen.shape[0]):
                observations[game, agent, i] = seen[i]


@inner
def _standardise(vector: DoubleArray, sums: DoubleArray) -> None:
    """Subtract the mean and divide by the (population) standard deviation, in place."""
    length = vector.shape[0]
    mean = _total(vector, sums) / length
    for i in range(length):
        vector[i] -= mean
    deviation = np.sqrt(_total_of_squares(vector, sums) / length)
    for i in range(length):
        vector[i] /= deviation
