"""Whose turn it is: shares as the weights say, whatever happened before; and who fits a call at all."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from broker.adapters.keypool.round_robin import WeightedRoundRobin
from broker.model.pool import Member, Placement, fits

LABELS = st.none() | st.sampled_from(["a", "b"])
WEIGHTS = st.lists(st.integers(1, 100), min_size=1, max_size=6)


@given(weights=WEIGHTS, rounds=st.integers(1, 5))
def test_each_round_gives_everybody_exactly_the_share_of_its_weight(weights: list[int], rounds: int) -> None:
    turns = WeightedRoundRobin(weights)
    everybody = range(len(weights))
    seen = Counter(turns.next(everybody) for _ in range(rounds * sum(weights)))
    assert seen == Counter({place: rounds * weight for place, weight in enumerate(weights)})


@given(data=st.data(), weights=WEIGHTS)
def test_only_the_usable_are_chosen_and_the_shares_converge_after_any_history(
    data: st.DataObject, weights: list[int]
) -> None:
    turns = WeightedRoundRobin(weights)
    subsets = st.lists(st.integers(0, len(weights) - 1), min_size=1, unique=True)
    for usable in data.draw(st.lists(subsets, max_size=60)):
        assert turns.next(usable) in usable
    usable = data.draw(subsets)
    total = sum(weights[place] for place in usable)
    asked = 20 * total
    seen = Counter(turns.next(usable) for _ in range(asked))
    for place in usable:
        # What the history left over is less than two rounds, however long it was.
        assert abs(seen[place] - 20 * weights[place]) <= 2 * max(1, len(weights))


def test_heavy_members_do_not_get_their_turns_in_a_row() -> None:
    turns = WeightedRoundRobin([5, 1, 1])
    assert [turns.next([0, 1, 2]) for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


@given(team=LABELS, region=LABELS, wanted_team=LABELS, wanted_region=LABELS)
def test_no_call_is_served_outside_its_team_or_region(
    team: str | None, region: str | None, wanted_team: str | None, wanted_region: str | None
) -> None:
    fitting = fits(Member("k", team=team, region=region), Placement(wanted_team, wanted_region))
    if fitting and wanted_team is not None:
        assert team == wanted_team
    if fitting and wanted_region is not None:
        assert region == wanted_region
    if fitting and wanted_team is None:
        assert team is None, "a team's key paid for somebody else's call"
    if team == wanted_team and region == wanted_region:
        assert fitting
