"""How fast PPO learns: alone, over devices, and as a whole training."""
