"""The devices that programs are compiled for, none of which has to be there.

JAX describes a TPU by its topology. A GPU is described to XLA by what its driver would say of it; of that the
compiler reads sizes and speeds, to choose tiles and fusions by.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass

import jax
from jax.experimental import topologies

GB = 1e9


@dataclass(frozen=True)
class Target:
    """A device, with the published figures that bounds are derived from."""

    name: str  # on the command line, in records and, of a TPU, in JAX
    title: str
    platform: str  # "cuda" or "tpu", as JAX calls it
    bandwidth: float  # bytes/s of its memory
    memory: int  # bytes
    # s, from one kernel to the next: launched by the host, and in a CUDA graph. A TPU runs a program whole.
    launch_s: float = 0.0
    graph_launch_s: float = 0.0

    def device(self) -> jax.Device:
        """The device, to lower and compile for."""
        if self.platform == "cuda":
            gpu = {"target_config": _gpu(self), "topology": "1x1x1"}
            return topologies.get_topology_desc(self.name, "cuda", **gpu).devices[0]
        # Or the compiler would ask the network what machine this is.
        os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"}
        os.environ["TPU_ACCELERATOR_TYPE"] = {"v5e": "v5litepod-1"}.get(self.name, f"{self.name}-1")
        one = {"chips_per_host_bounds": [1, 1, 1]}  # some of its versions take a host to have four
        return topologies.get_topology_desc(f"{self.name}:1x1", "tpu", **one).devices[0]

    def installed(self) -> bool:
        """Whether the compiler for it is."""
        if self.platform == "tpu":
            return importlib.util.find_spec("libtpu") is not None
        found = [importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)]
        return any(found)


_LAUNCH = {"launch_s": 2.5e-6, "graph_launch_s": 1.2e-6}
TARGETS = {
    target.name: target
    for target in (
        Target("h100", "NVIDIA H100 80GB HBM3", "cuda", 3.35e12, int(80 * GB), **_LAUNCH),
        Target("h200", "NVIDIA H200 141GB HBM3e", "cuda", 4.8e12, int(141 * GB), **_LAUNCH),
        Target("v5e", "TPU v5e", "tpu", 0.82e12, int(16 * GB)),
        Target("v6e", "TPU v6e", "tpu", 1.64e12, int(32 * GB)),
    )
}
# How to get the compilers.
INSTALL = 'pip install -e ".[accelerators]"'


def _gpu(target: Target) -> str:
    """What the driver of a Hopper GPU says of it, in the text form of XLA's ``GpuTargetConfigProto``."""
    return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: 9 }}
  threads_per_block_limit: 1024
  threads_per_warp: 32
  threads_per_core_limit: 2048
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472
  registers_per_block_limit: 65536
  registers_per_core_limit: 65536
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  thread_dim_limit_x: 1024
  thread_dim_limit_y: 1024
  thread_dim_limit_z: 64
  clock_rate_ghz: 1.98
  memory_bandwidth: {target.bandwidth:.0f}
  l2_cache_size: 52428800
  device_memory_size: {target.memory}
  device_address_bits: 64
  pcie_bandwidth: 34359738368
  ecc_enabled: true
  device_vendor: "NVIDIA Corporation"
  name: "{target.title}"
  driver_version: "12.8.0"
  runtime_version: "12.8.0"
  compile_time_toolkit_version: "12.8.0"
  dnn_version: "9.10.0"
}}
platform_name: "CUDA"
runtime_version {{ major: 12 minor: 8 patch: 0 }}
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
device_description_str: "{target.title}"
"""
