"""Projection of set-points onto what devices can do."""

from anmjax.projection.device_region import (
    DeviceLimits,
    project_to_device_region,
    storage_power_limits,
)

__all__ = ["DeviceLimits", "project_to_device_region", "storage_power_limits"]
