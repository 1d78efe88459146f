"""No damaged checkpoint loads, and none that was made by hand gets further than one sentence."""

from __future__ import annotations

import hashlib
import json
import os
import time

import jax
import msgpack
import numpy as np
import pytest
from flax import serialization

from anmjax.agents.ppo import PPO, CheckpointError, PPOConfig, load, restore_learner, restore_policy, train
from anmjax.agents.training.sealed_file import read_sealed, write_sealed
from tests.agents.probes import Match, TwoSteps

CONFIG = PPOConfig(
    total_steps=4 * 16,
    num_envs=4,
    num_steps=4,
    num_minibatches=2,
    num_epochs=1,
    hidden_sizes=(8,),
    max_episode_steps=3,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The checkpoint of a finished training."""
    out = tmp_path_factory.mktemp("whole")
    with jax.numpy_dtype_promotion("standard"):
        return train(Match(), CONFIG, out=out, seed=5, task="Match", quiet=True).checkpoint


def mutated(data, rng):
    """Bytes with one fault in them, of a kind that disks, networks and editors make."""
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 200))
    other = int(rng.integers(len(data)))
    flipped = bytearray(data)
    flipped[at] ^= 1 << int(rng.integers(8))
    faults = (
        bytes(flipped),
        data[:at],
        data[at:],
        data[:at] + data[at + size :],
        data[:at] + bytes(size) + data[at + size :],
        data[:at] + rng.bytes(size) + data[at + size :],
        data[:at] + rng.bytes(size) + data[at:],
        data[:at] + data[other : other + size] + data[at + size :],
        data + data[at : at + size],
        data.replace(b"\n", b"\r\n"),
    )
    # As many bit flips as all the other faults together.
    return faults[int(rng.integers(1, len(faults)))] if rng.random() < 0.5 else faults[0]


def loads(path):
    """Whether a file loads; if not, the error must be one sentence of ours."""
    try:
        load(path)
    except CheckpointError as error:
        sentence = str(error)
    else:
        return True
    assert "\n" not in sentence
    assert len(sentence) < 600
    return False


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_no_mutated_checkpoint_loads(whole, tmp_path, count):
    data, rng, path = whole.read_bytes(), np.random.default_rng(count), tmp_path / "mutated"
    loaded = 0
    for _ in range(count):
        damaged = mutated(data, rng)
        path.write_bytes(damaged)
        loaded += damaged != data and loads(path)
    assert loaded == 0


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_forged_checksum_gets_no_further_than_a_sentence_or_to_sound_numbers(whole, tmp_path, count):
    data, rng, path = whole.read_bytes(), np.random.default_rng(count), tmp_path / "forged"
    head, body = data[: data.index(b"\n") + 1], data[data.index(b"\n") + 33 :]
    for _ in range(count):
        forged = mutated(body, rng)
        path.write_bytes(head + hashlib.sha256(forged).digest() + forged)
        if not loads(path):
            continue
        try:
            policy = restore_policy(load(path), Match())
        except CheckpointError:
            continue
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(policy))


def crafted(whole, tmp_path, fields=None, **entries):
    """A sealed file with other entries in the header, or other parts."""
    content = read_sealed(whole)
    if fields is not None:
        content["header"] = json.dumps(json.loads(content["header"]) | fields)
    path = tmp_path / "crafted"
    write_sealed(path, content | entries)
    return path


def test_a_checkpoint_from_before_agents_had_names_is_of_ppo(whole, tmp_path):
    header = json.loads(read_sealed(whole)["header"])
    assert header.pop("agent") == "ppo"
    saved = load(crafted(whole, tmp_path, header=json.dumps(header)))
    assert (saved.agent, saved.config) == ("ppo", CONFIG)


CONFIG_WITH = json.loads(json.dumps(CONFIG.to_dict()))


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ({"env_steps": "x"}, "env_steps is no int"),
        ({"env_steps": True}, "env_steps is no int"),
        ({"env_steps": 10**400}, "env_steps is out of all bounds"),
        ({"env_steps": 65}, "its 65 steps in .* s are none of a training of 4 updates, 16 steps each"),
        ({"env_steps": -16}, "its -16 steps"),
        ({"env_steps": 80}, "its 80 steps"),
        ({"env_steps": 48}, "counters disagree: .num_updates is not 3, as 48 steps make it"),
        ({"seed": 1.5}, "seed is no int"),
        ({"seed": None}, "seed is no int"),
        ({"seconds": float("nan")}, "seconds is out of all bounds"),
        ({"seconds": 10**400}, "seconds is out of all bounds"),
        ({"seconds": -1}, "its 64 steps in -1 s"),
        ({"task": 5}, "task is no str"),
        ({"agent": 5}, "agent is no str"),
        ({"agent": "gone"}, "agent is 'gone', expected one of ppo"),
        ({"overrides": [1]}, "overrides is no dict"),
        ({"config": 3}, "config is no dict"),
        ({"config": {"unknown": 1}}, "unexpected keyword argument 'unknown'"),
        (
            {"config": CONFIG_WITH | {"hidden_sizes": [8] * 2000}},
            r"hidden_sizes is \(8, 8, 8, 8, 8, 8, ...\), but must be at most 64",
        ),
        ({"config": CONFIG_WITH | {"hidden_sizes": 8}}, "hidden_sizes is 8, but must be"),
        ({"config": CONFIG_WITH | {"hidden_sizes": [10**12]}}, "hidden_sizes is"),
        ({"config": CONFIG_WITH | {"learning_rate": float("inf")}}, "learning_rate is inf, but must be"),
        ({"config": CONFIG_WITH | {"num_envs": "4"}}, "num_envs is '4', but must be a whole number"),
        ({"config": CONFIG_WITH | {"num_minibatches": 1}}, r"counters disagree: .optimizer\[1\]"),
    ],
)
def test_a_crafted_header_gets_one_sentence(whole, tmp_path, header, sentence):
    path = crafted(whole, tmp_path, header)
    with pytest.raises(CheckpointError, match=sentence):
        load(path)
    assert not loads(path)


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"header": "[" * 100_000}, "the header .* is damaged: maximum recursion depth"),
        ({"header": '{"task": ' + "9" * 5000 + "}"}, "the header .* is damaged"),
        ({"header": "[]"}, "the header .* is damaged"),
        ({"header": {"a": "b"}}, "the header .* is damaged"),
        ({"policy": "none"}, "policy is no dict"),
        ({"learner": {}}, "its counters disagree: .num_updates is not 4"),
    ],
)
def test_a_crafted_part_gets_one_sentence(whole, tmp_path, entries, sentence):
    path = crafted(whole, tmp_path, **entries)
    with pytest.raises(CheckpointError, match=sentence):
        load(path)
    assert not loads(path)


KERNEL = ".params['params']['actor']['Dense_0']['kernel']"


@pytest.mark.parametrize(
    ("part", "name", "leaf", "sentence"),
    [
        ("policy", KERNEL, "text", "its entry .*kernel.* is not an array of numbers"),
        ("policy", KERNEL, 3, "is not an array of numbers"),
        ("policy", KERNEL, {"more": np.ones(2)}, "is not an array of numbers"),
        ("policy", KERNEL, np.full((2, 8), np.nan), "not all numbers of its entry .*kernel.* are finite"),
        ("policy", KERNEL, np.full((2, 8), 1 + np.inf * 1j), "not all numbers of its entry"),
        ("policy", ".statistics.var", np.array([-1.0, 1.0]), "its entry .statistics.var is negative"),
        ("policy", ".statistics.count", np.array(-1.0), "its entry .statistics.count is negative"),
        ("learner", ".totals", np.array([0, 0, np.inf, 0]), "not all numbers of its entry .totals"),
        ("learner", ".num_updates", np.array([4, 4], np.int32), "its counters disagree"),
        ("learner", ".num_updates", np.array(5, np.int32), "its counters disagree: .num_updates is not 4"),
        (
            "learner",
            ".optimizer[1][0].count",
            np.array(7, np.int32),
            r"its counters disagree: .optimizer\[1\]\[0\].count is not 8",
        ),
    ],
)
def test_a_crafted_entry_gets_one_sentence(whole, tmp_path, part, name, leaf, sentence):
    content = read_sealed(whole)
    path = crafted(whole, tmp_path, **{part: content[part] | {name: leaf}})
    with pytest.raises(CheckpointError, match=sentence):
        load(path)
    assert not loads(path)


@pytest.mark.parametrize(
    ("part", "name", "leaf", "sentence"),
    [
        ("policy", KERNEL, np.ones((2, 9)), r"has float64\[2, 9\] for .*, but .* need float64\[2, 8\]"),
        ("policy", KERNEL, np.ones((2, 8), np.int64), r"has int64\[2, 8\] for"),
        ("policy", KERNEL, np.ones((2, 8), complex), r"has complex128\[2, 8\] for"),
        ("policy", ".params['more']", np.ones(2), r"has an entry .*\['more'\] that does not belong"),
        ("learner", ".totals", np.ones(4, np.float32), r"has float32\[4\] for .totals"),
        ("learner", ".more", np.ones(4), "has an entry .more that does not belong"),
    ],
)
def test_an_entry_that_does_not_fit_is_refused_before_it_is_used(
    whole, tmp_path, standard_promotion, part, name, leaf, sentence
):
    content = read_sealed(whole)
    saved = load(crafted(whole, tmp_path, **{part: content[part] | {name: leaf}}))
    with pytest.raises(CheckpointError, match=sentence):
        restore_learner(saved, PPO.create(Match(), CONFIG))
    if part == "policy":
        with pytest.raises(CheckpointError, match=sentence):
            restore_policy(saved, Match())


def sealed(tmp_path, body):
    path = tmp_path / "sealed"
    path.write_bytes(b"anmjax checkpoint 2\n" + hashlib.sha256(body).digest() + body)
    return path


@pytest.mark.parametrize(
    "body",
    [
        b"\x91" * 100_000,  # an array that holds an array that holds ..
        b"\x81\xa1a" * 100_000,  # the same with maps
        msgpack.packb([1, 2]),
        msgpack.packb({"header": 1}),
        b"\xdd\xff\xff\xff\xff",  # an array of 4 billion entries, says its beginning
        serialization.msgpack_serialize({"__msgpack_chunked_array__": True}),
    ],
)
def test_a_sealed_body_of_nonsense_is_refused_at_once(tmp_path, body):
    begun = time.monotonic()
    assert not loads(sealed(tmp_path, body))
    assert time.monotonic() - begun < 5  # s; far more than it takes, far less than nonsense could


def test_other_versions_are_named(whole, tmp_path):
    path = tmp_path / "other"
    path.write_bytes(whole.read_bytes().replace(b"checkpoint 2\n", b"checkpoint 31\n", 1))
    with pytest.raises(CheckpointError, match="has checkpoint version 31; this anmjax reads version 2"):
        load(path)
    # As version 1 began: a bare map of msgpack.
    path.write_bytes(serialization.msgpack_serialize({"format": "anmjax-ppo-checkpoint", "version": 1}))
    with pytest.raises(CheckpointError, match="has checkpoint version 1, without a checksum"):
        load(path)


def test_what_is_no_checkpoint_is_not_read_to_its_end(tmp_path):
    # /dev/zero has none, and a pipe that nobody writes to has no beginning.
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(CheckpointError, match="is not an anmjax checkpoint, or is damaged"):
            load(path)


def test_a_checkpoint_of_another_task_says_what_it_was_trained_on(whole, standard_promotion):
    class Wider(TwoSteps):
        @property
        def observation_space(self):
            space = super().observation_space
            return type(space)(np.repeat(space.low, 2), np.repeat(space.high, 2))

    sentence = "was trained on Match, with 2 observations and 1 actions; here there are 4 and 1"
    with pytest.raises(CheckpointError, match=sentence):
        restore_policy(load(whole), Wider())
