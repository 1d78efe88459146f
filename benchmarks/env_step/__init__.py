"""Environment steps a second, what bounds them, and gym-anm beside them."""
