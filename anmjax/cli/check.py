"""``anmjax check FILE``: every fault of a case or of profiles."""

from __future__ import annotations

import argparse
from pathlib import Path

from anmjax.cli.errors import CommandError
from anmjax.grid.cases import CaseError
from anmjax.grid.faults import NetworkError
from anmjax.grid.network import Network
from anmjax.tasks.profiles import ProfileError
from anmjax.tasks.time_series import Profiles

READERS = {".csv": Profiles.from_csv, ".parquet": Profiles.from_parquet}


def run(arguments: argparse.Namespace) -> int:
    """Prints the faults of a file and returns 1, or says that there are none."""
    file, ending = arguments.file, Path(arguments.file).suffix.lower()
    net = None
    try:
        if ending in READERS:
            if arguments.net is None:
                raise CommandError("profiles are checked against a case: add --net FILE.")
            net = _network(arguments.net)
            profiles = READERS[ending](file, net)
            found = f"{profiles.num_steps:,} steps of {profiles.step_hours:g} h"
        else:
            net = _network(file)
            found = f"{net.n_bus} buses, {net.n_branch} branches, {net.n_device} devices"
    except (NetworkError, ProfileError) as error:
        print(error)
        return 1
    except (CaseError, ImportError, OSError, ValueError) as error:
        raise CommandError(f"cannot read {file[:80]}: {' '.join(str(error).split())[:200]}.") from error
    print(f"{file}: no faults, {found}")
    return 0


def _network(file: str) -> Network:
    """The network of a case.

    Raises:
      CommandError: the file's ending is that of no case.
    """
    ending = Path(file).suffix.lower()
    if ending == ".m":
        return Network.from_matpower(file)
    if ending != ".json":
        raise CommandError(f"{file[:80]} is no case: its name must end in .json or .m.")
    return Network.from_json(Path(file))
