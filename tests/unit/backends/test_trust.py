"""A server that sends answers to no request is trusted later each time."""

from gateway.backends.calling.trust import FIRST_S, LONGEST_S, Trust


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_trust_comes_back_after_twice_the_time_at_each_stray_up_to_an_hour() -> None:
    clock = Clock()
    trust = Trust(clock)
    assert not trust.lost
    waits = []
    for _ in range(9):
        trust.stray()
        trust.stray()  # at the same moment, on another connection
        assert trust.lost
        waits.append(trust.lost_until - clock.now_s)
        clock.now_s = trust.lost_until
        assert not trust.lost
    assert waits == [FIRST_S, 120, 240, 480, 960, 1920, LONGEST_S, LONGEST_S, LONGEST_S]
