"""``anmjax new FILE``: a module with a task of one's own to begin from."""

from __future__ import annotations

import argparse
from pathlib import Path

from anmjax.cli.errors import CommandError
from anmjax.cli.screen import say

TEMPLATE = '''"""A task on a grid of my own: anmjax train {module}:task"""

import numpy as np

import anmjax

# The grid. Network.from_pandapower(net) and Network.from_matpower("case.m") bring one with its devices.
net = anmjax.Network.from_dict(
    {{
        "baseMVA": 10,
        # id, type (0 slack, 1 PQ), base kV, v max, v min (p.u.)
        "bus": [[0, 0, 20, 1.0, 1.0], [1, 1, 20, 1.05, 0.95], [2, 1, 20, 1.05, 0.95]],
        "device": [[0, 0, 0, *[None] * 12]],  # the slack
        # from, to, r, x, b (p.u.), rating (MVA), tap, shift (degrees)
        "branch": [[0, 1, 0.02, 0.04, 0, 5, 1, 0], [1, 2, 0.02, 0.04, 0, 3, 1, 0]],
    }}
).with_devices(
    anmjax.Load(bus=1, p_mw=4.0, power_factor=0.97, name="town"),
    anmjax.Renewable(bus=2, p_mw=5.0, q_max_mvar=2.0, name="solar park"),
    anmjax.Storage(bus=2, p_mw=2.0, capacity_mwh=8.0, efficiency=0.95, name="battery"),
)

# A year in MW; yours may come from Profiles.from_csv("year.csv", net), a column for each of these names.
hour = np.arange(366 * 96) / 4
days = 2 * np.pi * hour / 24
profiles = anmjax.Profiles.from_numpy(
    {{
        "town": 2.5 - np.cos(days) + 0.4 * np.sin(2 * days),
        "solar park": 5 * np.maximum(0, -np.cos(days)) * (0.7 - 0.3 * np.cos(days / 366)),
    }},
    net,
    step_hours=0.25,
    start="2016-01-01",
)

# Episodes of a day; November and December are held out: task.replace(split="test").
task = anmjax.GridTask(net, profiles, episode_hours=24, test=("2016-11", "2016-12"), lamb=100)
'''


def run(arguments: argparse.Namespace) -> int:
    """Writes the template, to a file that is not there yet, and says what to do with it."""
    file = arguments.file
    path = Path(file)
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise CommandError(f"{file[:80]} is no name of a module: write one such as my_grid.py.")
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(TEMPLATE.format(module=path.stem))
    except FileExistsError as error:
        raise CommandError(f"{file[:80]} is there already.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"cannot write {file[:80]}: {reason}."[:300]) from error
    say(f"{file}: a grid of three buses and a year of profiles to put yours in the place of.")
    print(f"anmjax describe {path.stem}:task")
    print(f"anmjax train {path.stem}:task --total-steps 1_000_000")
    print(f"anmjax evaluate random do-nothing mpc-constant --task {path.stem}:task --horizon 96")
    return 0
