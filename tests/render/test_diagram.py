"""diagram: the picture of a state shows what the state is, as text and as vectors."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PatchCollection, PolyCollection
from matplotlib.colors import to_rgb

from anmjax.agents.replay import Series
from anmjax.render import diagram
from anmjax.render.colours import LIGHT
from anmjax.render.diagram import Picture
from tests.render.samples import grid, rollout

NET = grid(12, ties=1)


def moment(t: int = 0, **changes) -> Series:
    series = rollout(NET, seed=4).series
    return Series(*(np.asarray(x)[t] for x in series))._replace(**changes)


def collections(figure, kind):
    return [found for found in figure.axes[0].collections if isinstance(found, kind)]


def texts(figure) -> list[str]:
    return [text.get_text() for owner in (figure, *figure.axes) for text in owner.texts]


def test_every_bus_has_the_colour_of_its_voltage_and_a_ring_outside_its_limits():
    vm = np.linspace(0.93, 1.07, NET.n_bus)
    figure = diagram(NET, moment(vm=vm))
    rings, dots = collections(figure, PatchCollection)
    faces = dots.get_facecolors()[:, :3]
    # Half way from the middle of 0.95 and 1.05 to a limit: half of the limit's colour.
    (k,) = np.flatnonzero(NET.bus_ids == np.array(6))
    low, high = 0.95, 1.05
    x = (2 * vm[k] - low - high) / (high - low)
    assert 0 < x < 1
    np.testing.assert_allclose(faces[k], np.array(LIGHT.middle) * (1 - x) + np.array(LIGHT.high) * x)
    outside = (vm < np.asarray(NET.v_min) - 1e-5) | (vm > np.asarray(NET.v_max) + 1e-5)
    assert len(rings.get_paths()) == outside.sum() > 2
    np.testing.assert_allclose(faces[1], LIGHT.low)  # below its limit: no bluer than at it


def test_a_branch_is_as_wide_as_it_is_loaded_with_an_arrow_where_the_power_goes():
    s = np.full(NET.n_branch, 0.75)  # of 1.5 MVA
    s[3] = 3.0
    p = np.where(np.arange(NET.n_branch) % 2, 0.1, -0.1)
    figure = diagram(NET, moment(s_mva=s, p_from_mw=p))
    alarm, closed, opened = collections(figure, LineCollection)
    assert len(alarm.get_segments()) == 1
    assert len(opened.get_segments()) == 1
    widths = closed.get_linewidths()
    assert widths[0] == pytest.approx(0.72 * (1.6 + 3.4 * 0.5))
    np.testing.assert_allclose(closed.get_colors()[3][:3], LIGHT.bad)
    (arrows,) = collections(figure, PolyCollection)
    assert len(arrows.get_paths()) == NET.n_branch - 1
    for k, (arrow, segment) in enumerate(zip(arrows.get_paths(), closed.get_segments(), strict=True)):
        tip, tail = arrow.vertices[0], arrow.vertices[2]
        forward = segment[len(segment) // 2] - segment[(len(segment) - 1) // 2]
        forward = segment[-1] - segment[0] if not forward.any() else forward
        assert np.sign((tip - tail) @ forward) == (1 if k % 2 else -1)


def test_the_words_above_name_extremes_and_what_is_outside_limits():
    vm, s = np.full(NET.n_bus, 1.0), np.full(NET.n_branch, 0.15)
    vm[4], vm[5], s[2] = 1.06, 0.94, 1.8
    figure = diagram(NET, moment(vm=vm, s_mva=s), title="noon, $x$ <b>")
    written = texts(figure)
    assert "noon, $x$ <b>" in written
    summary = next(text for text in written if "p.u. at bus" in text)
    ends = f"{NET.from_bus[2]}\N{EN DASH}{NET.to_bus[2]}"
    assert summary.startswith(f"0.940 p.u. at bus 5 to 1.060 at bus 4; fullest branch {ends}: 120 %; load ")
    assert f"outside limits: buses 4 above, 5 below; branch {ends} (120 %)" in written


def test_a_collapse_is_shown_as_one():
    figure = diagram(NET, moment(-1, terminated=np.True_))
    assert texts(figure).count("the network has collapsed") == 2  # in the header and across the grid
    assert not collections(figure, PatchCollection)[0].get_paths()


def test_it_is_written_as_vectors_with_no_picture_in_it():
    file = io.StringIO()
    diagram(NET, moment(), title="vectors").savefig(file, format="svg")
    drawn = file.getvalue()
    assert drawn.count("<path") > 100
    assert "<image" not in drawn
    assert "<!-- vectors -->" in drawn  # matplotlib's note of a text


def test_buses_have_their_names():
    assert {str(bus) for bus in NET.bus_ids} <= set(texts(diagram(NET, moment())))


def test_pixels_are_of_a_screen_and_differ_with_the_state():
    picture = Picture(NET)
    first, second = (picture.pixels(moment(t), title="a").copy() for t in (0, 1))
    assert (first.shape, first.dtype) == ((480, 640, 3), np.uint8)
    assert (first != second).any()
    np.testing.assert_array_equal(picture.pixels(moment(0), title="a"), first)
    dark = Picture(NET, dark=True).pixels(moment())
    assert (dark[0, 0] < 40).all()
    assert (first[0, 0] == 255).all()


def test_a_large_grid_is_drawn_without_names_and_in_moments():
    net = grid(600, reach=40)
    series = rollout(net).series
    figure = diagram(net, Series(*(np.asarray(x)[0] for x in series)))
    assert len(collections(figure, PatchCollection)[1].get_paths()) == 600
    assert len(figure.axes[0].texts) == 0


def test_limits_that_are_none_and_places_that_are_given_are_taken():
    net = replace(NET, rating=np.full(NET.n_branch, np.inf))
    places = np.stack([np.arange(net.n_bus), np.zeros(net.n_bus)], 1)
    figure = diagram(net, moment(), coordinates=places)
    assert not collections(figure, LineCollection)[0].get_segments()
    with pytest.raises(ValueError, match="coordinates have shape"):
        diagram(net, moment(), coordinates=places[1:])
    assert to_rgb(figure.get_facecolor()) == LIGHT.back
