"""What do Stable-Baselines3's learners gain from environments of this package, beside gym-anm's own?

Environment steps a second on ANM6Easy-v0, interleaved in one run: stepping alone (gym-anm, the Gymnasium
adapter, lanes as a ``VecEnv``) and learning (its PPO on gym-anm and on the lanes, our PPO and SHAC with their
defaults). Needs ``pip install "anmjax[sb3]" gym-anm``.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import anmjax
from anmjax.agents.registry import AGENTS
from anmjax.agents.seeds import key_of_seed
from anmjax.agents.training import sharding
from anmjax.agents.training.pools import Pools
from benchmarks.harness import command_line, record
from benchmarks.harness.timing import interleave

TASK, THEIRS = "ANM6Easy-v0", "gym_anm:ANM6Easy-v0"
SPREAD, STEPS_A_LANE, EPISODE = 1024, 16, 96  # lanes, steps of each between two updates, steps of an episode


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training.stacks", description=__doc__)
    command_line.add_timing(parser, seconds=5.0, repeats=5)
    command_line.add_devices(parser)
    command_line.add_record(parser)
    return parser.parse_args(arguments)


def stepping(step: Callable[[], int], seconds: float) -> float:
    """Environment steps a second of a function that makes some and says how many."""
    done, begun = 0, time.perf_counter()
    while (took := time.perf_counter() - begun) < seconds:
        done += step()
    return done / took


def singly(make: Callable[[], Any]) -> Callable[[], int]:
    """Random actions in a Gymnasium environment, reset where an episode ends."""
    env = make()
    env.reset(seed=0)
    env.action_space.seed(0)

    def step() -> int:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
        return 1

    step()
    return step


def spread(num_envs: int) -> Callable[[], int]:
    """Random actions in all lanes of a VecEnv."""
    from anmjax.adapters.sb3 import VecEnv

    env = VecEnv(TASK, num_envs, seed=0, max_episode_steps=EPISODE)
    env.reset()
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (64, num_envs, *env.action_space.shape)).astype(env.action_space.dtype)

    def step() -> int:
        env.step(actions[rng.integers(64)])
        return num_envs

    for _ in range(2):
        step()
    return step


def learning(env: Any, steps: int, batch: int) -> Callable[[], int]:
    """Its PPO, some steps of every lane and then an update."""
    from stable_baselines3 import PPO

    model = PPO("MlpPolicy", env, n_steps=steps, batch_size=batch, device="cpu", seed=0)

    def step() -> int:
        model.learn(steps * model.n_envs, reset_num_timesteps=False)
        return int(steps * model.n_envs)

    step()
    return step


def ours(agent: str) -> Callable[[], int]:
    """Compiled chunks of a training with defaults, on all devices."""
    config = AGENTS[agent].config()()
    made = AGENTS[agent].agent().create(anmjax.make(TASK), config)
    mesh = sharding.mesh_for(config)
    learners = sharding.begin(made, jnp.stack([key_of_seed(0)]), mesh)
    placed = Pools(made, mesh).at(0)[0]

    def step() -> int:
        nonlocal learners
        count = config.updates_per_chunk
        learners, _ = jax.block_until_ready(sharding.run_chunk(placed, learners, np.int32(count), mesh))
        return int(count * config.steps_per_update)

    step()
    return step


def measured(smoke: bool) -> dict[str, Callable[[], int]]:
    """What is measured, by name; in a smoke run neither learners nor what needs Stable-Baselines3."""
    import gymnasium

    def theirs() -> Any:
        return gymnasium.wrappers.TimeLimit(gymnasium.make(THEIRS), EPISODE)

    def adapted() -> Any:
        return gymnasium.make(f"anmjax.adapters.gymnasium:anmjax/{TASK}", max_episode_steps=EPISODE)

    alone = {"gym-anm": singly(theirs), "Gymnasium adapter": singly(adapted)}
    if smoke:
        return alone
    from anmjax.adapters.sb3 import VecEnv

    lanes = VecEnv(TASK, SPREAD, seed=0, max_episode_steps=EPISODE)
    return alone | {
        f"VecEnv of {SPREAD:,}": spread(SPREAD),
        "SB3 PPO on gym-anm": learning(theirs(), 256, 64),
        f"SB3 PPO on VecEnv of {SPREAD:,}": learning(lanes, STEPS_A_LANE, SPREAD * STEPS_A_LANE // 4),
        "PPO": ours("ppo"),
        "SHAC": ours("shac"),
    }


def main() -> None:
    """Runs the benchmark."""
    options = parse()
    command_line.mesh_of(options.devices)
    seconds, repeats = (0.1, 1) if options.smoke else (options.seconds, options.repeats)
    turns = {
        name: functools.partial(stepping, step, seconds) for name, step in measured(options.smoke).items()
    }
    found = interleave(turns, repeats)
    rows: list[dict[str, Any]] = [
        {"name": name, "steps_per_s": rate.to_dict()} for name, rate in found.items()
    ]
    for row in rows:
        print(f"{row['name']}: {row['steps_per_s']['median']:,.0f} steps/s", flush=True)
    if options.out or not options.smoke:
        record.write(record.make("training.stacks", rows, task=TASK), options.out)


if __name__ == "__main__":
    main()
