"""Whatever a user hands in, the answer is a network or a NetworkError."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from anmjax.grid import Network, NetworkError, validate
from anmjax.grid.tables import TABLES
from tests.grid.samples import FULL, SPARSE

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 6),
    st.integers(),
    st.floats(),
    st.sampled_from([0.0, -0.0, 1e-320, 1e308, -1e308, 10**400, math.inf, -math.inf, math.nan]),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.fractions(),
    st.decimals(),
    st.dates(),
    st.sampled_from(
        [np.float32(1.5), np.int8(2), np.bool_(True), np.datetime64("2020-01-01"), np.array(1.0)]
    ),
)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from([object(), np.ndarray, len]),
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=20,
)
TABLE_LIKE = st.one_of(
    ANYTHING,
    *(st.lists(st.lists(SCALARS, min_size=n, max_size=n), max_size=4) for n in (5, 8, 15)),
    npst.arrays(npst.scalar_dtypes(), npst.array_shapes(min_dims=1, max_dims=3, max_side=15)),
)


def assert_network_or_network_error(d) -> None:
    faults = validate(d)
    if faults:
        with pytest.raises(NetworkError) as error:
            Network.from_dict(d)
        assert str(error.value).count("\n") >= len(error.value.faults) == len(faults)
        assert all(fault.element and fault.field and fault.allowed for fault in faults)
    else:
        leaves = [leaf for leaf in vars(Network.from_dict(d)).values() if isinstance(leaf, np.ndarray)]
        assert not any(np.isnan(leaf).any() for leaf in leaves)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING)
def test_junk_is_refused_in_words(junk):
    assert_network_or_network_error(junk)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=SCALARS,
    tables=st.fixed_dictionaries({}, optional={table.name: TABLE_LIKE for table in TABLES}),
)
def test_tables_of_junk_are_refused_in_words(base, tables):
    assert_network_or_network_error({"baseMVA": base, **tables})


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    source=st.sampled_from([FULL, SPARSE]),
    changes=st.lists(
        st.tuples(st.sampled_from(TABLES), st.integers(0, 2), st.integers(0, 14), SCALARS),
        min_size=1,
        max_size=4,
    ),
    base=st.one_of(st.just(10.0), SCALARS),
)
def test_a_good_network_with_a_few_cells_of_junk_is_read_or_refused_in_words(source, changes, base):
    d = copy.deepcopy(source)
    d["baseMVA"] = base
    for table, row, column, value in changes:
        d[table.name][row][column % len(table.columns)] = value
    assert_network_or_network_error(d)
