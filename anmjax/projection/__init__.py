"""Projection of set-points onto what devices can do, and onto what the network allows."""

from anmjax.projection.device_region import (
    DeviceLimits,
    project_to_device_region,
    region_inequalities,
    storage_power_limits,
)
from anmjax.projection.safety import SafeProjection, project_safe

__all__ = [
    "DeviceLimits",
    "SafeProjection",
    "project_safe",
    "project_to_device_region",
    "region_inequalities",
    "storage_power_limits",
]
