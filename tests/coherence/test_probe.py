"""The probe: delays are measured, and a server that forgets is noticed."""

from __future__ import annotations

from armature_cache.clocks.coherence import CoherenceMeter
from tests.coherence.peers import BOUND, Peer, build


async def test_the_delay_of_invalidations_is_measured(server_url: str, namespace: str) -> None:
    other = Peer(server_url, namespace)
    try:
        async with build(server_url, namespace) as cache:
            await cache.get("warm")
            for n in range(20):
                other("invalidate_tag", f"t{n}")
                await cache.get("warm", consistency="strong")
            report = cache.stats().coherence
    finally:
        other.close()
    assert report is not None
    assert report.observed == 20
    assert report.violations == 0
    assert 0 <= report.delay_p50 <= report.delay_p99 <= report.delay_max
    assert report.delay_p50 < BOUND


def test_news_that_an_earlier_sync_should_have_brought_are_a_violation() -> None:
    meter = CoherenceMeter()
    meter.observe([2_000_000], asked=1_000_000, now=2_100_000, slack=1000)
    assert meter.report().violations == 0
    meter.observe([2_000_000], asked=2_500_000, now=2_600_000, slack=1000)
    report = meter.report()
    assert (report.observed, report.violations) == (2, 1)
    assert report.delay_max == 0.6
