"""GNU Octave, where it is installed, as the reference for programs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np

COMMAND = shutil.which("octave-cli")
_DRIVER = """
warning('off', 'all');
names = strsplit(fileread('names.txt'), "\\n");
for k = 1:numel(names)
  file = fopen([names{k} '.out'], 'w');
  try
    mpc = feval(names{k});
    fprintf(file, '%d %d', size(mpc.t));
    fprintf(file, ' %.17g', mpc.t);
  catch failure
    fprintf(file, 'error %s', failure.message);
  end
  fclose(file);
end
"""


def tables(directory: Path, programs: Mapping[str, str]) -> dict[str, np.ndarray | str]:
    """The table ``mpc.t`` that each program leaves in Octave, or its error, by the name of its function."""
    for name, text in programs.items():
        (directory / f"{name}.m").write_text(text, encoding="utf-8")
    (directory / "names.txt").write_text("\n".join(programs))
    (directory / "driver.m").write_text(_DRIVER)
    command = [str(COMMAND), "--no-gui", "--quiet", "--no-init-file", "driver.m"]
    subprocess.run(command, cwd=directory, capture_output=True, timeout=600, check=False)
    found: dict[str, np.ndarray | str] = {}
    for name in programs:
        path = directory / f"{name}.out"
        words = path.read_text(errors="replace").split() if path.exists() else ["error", "of syntax"]
        if not words or words[0] == "error":
            found[name] = " ".join(words[1:])
        else:
            values = np.array([float(word) for word in words[2:]])
            found[name] = values.reshape(int(words[0]), int(words[1]), order="F")
    return found
