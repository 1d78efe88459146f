"""What options are called elsewhere: for suggestions, not for use."""

from __future__ import annotations

# By option of ours, in the order in which a command is searched for them.
SYNONYMS = {
    "--total-steps": ("--steps", "--timesteps", "--total-timesteps", "--num-timesteps", "--n-steps"),
    "--num-envs": ("--envs", "--n-envs", "--num-grids", "--grids", "--lanes", "--num-lanes"),
    "--num-steps": ("--rollout", "--rollout-length", "--unroll-length"),
    "--num-epochs": ("--epochs", "--n-epochs", "--update-epochs"),
    "--num-minibatches": ("--minibatches", "--batch-size", "--minibatch-size"),
    "--max-episode-steps": ("--time-limit", "--episode-length", "--max-steps"),
    "--learning-rate": ("--lr", "--step-size", "--alpha"),
    "--anneal-learning-rate": ("--anneal-lr", "--anneal"),
    "--no-anneal-learning-rate": ("--no-anneal-lr", "--no-anneal"),
    "--gae-lambda": ("--lambda", "--lam", "--gae"),
    "--gamma": ("--discount", "--discount-factor"),
    "--clip-epsilon": ("--clip", "--clip-range", "--clip-eps", "--clip-coef", "--eps"),
    "--value-coefficient": ("--vf-coef", "--value-coef"),
    "--entropy-coefficient": ("--ent-coef", "--entropy-coef", "--entropy"),
    "--hidden-sizes": ("--layers", "--hidden", "--net-arch", "--width"),
    "--network-dtype": ("--dtype", "--precision"),
    "--agent": ("--algo", "--algorithm", "--learner", "--method"),
    "--out": ("-o", "--output", "--output-dir", "--out-dir", "--dir", "--folder", "--logdir", "--log-dir"),
    "--resume": ("--continue", "--restore", "--checkpoint", "--load"),
    "--seed": ("--seeds", "-s", "--random-seed"),
    "--devices": ("--gpus", "--cpus", "--num-devices", "--cores"),
    "--quiet": ("-q", "--silent", "--no-progress"),
    "--horizon": ("--steps", "--num-steps", "--max-steps"),
    "--num-starts": ("--starts", "--episodes", "--num-episodes", "--n-eval-episodes"),
    "--steps": ("--horizon", "--num-steps", "--max-steps", "--length"),
    "--starts": ("--num-starts", "--episodes", "--num-episodes", "--lanes"),
    "--soc": ("--charge", "--charges"),
    "--task": ("--env", "--env-id"),
    "--json": ("--out", "--output", "-o"),
    "--plot": ("--figure", "--fig", "--png", "--render"),
}
# What is named without an option.
NO_OPTION = {
    "--task": "the task comes first, anmjax train TASK",
    "--env": "a task is named without an option, anmjax train TASK",
    "--env-id": "a task is named without an option, anmjax train TASK",
    "--policy": "policies come first, anmjax evaluate POLICY [POLICY ...]",
    "--checkpoint": "a checkpoint is a policy, anmjax evaluate CHECKPOINT",
    "--agent": "policies come first, anmjax evaluate POLICY [POLICY ...]",
}
