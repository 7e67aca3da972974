"""What the health port says of workers, by what was last heard of them."""

from time import monotonic

import msgspec
import pytest

from gateway.serving import status
from gateway.serving.child import Child


def worker(number: int = 1, *, ready: int = 200, silent_s: float = 0.0, opened: bool = True) -> Child:
    child = Child(number, generation=1)
    child.opened, child.ready_status = opened, ready
    child.ready_body = b'{"status":"%b"}' % (b"ready" if ready == 200 else b"loading")
    child.heard_at = monotonic() - silent_s
    return child


def test_a_worker_that_stands_still_for_five_seconds_is_told_of_by_both() -> None:
    workers = [worker(1), worker(2, silent_s=5.1)]

    assert status.live(workers) == (503, b'{"status":"stalled","workers":[2]}')
    assert status.ready(workers, ending=False) == (503, b'{"status":"stalled","workers":[2]}')


@pytest.mark.parametrize("silent_s", [0.0, 4.5])
def test_a_short_pause_is_none(silent_s: float) -> None:
    assert status.live([worker(silent_s=silent_s)])[0] == 200


def test_a_worker_that_has_not_begun_does_not_stand_still() -> None:
    assert status.live([worker(silent_s=60.0, opened=False)])[0] == 200


def test_one_ready_worker_is_enough_and_none_is_not() -> None:
    assert status.ready([worker(1, ready=503), worker(2)], ending=False)[0] == 200
    assert status.ready([worker(1, ready=503)], ending=False) == (503, b'{"status":"loading"}')
    assert status.ready([], ending=False)[0] == 503


def test_a_server_that_ends_is_not_ready() -> None:
    code, body = status.ready([worker()], ending=True)

    assert (code, msgspec.json.decode(body)) == (503, {"status": "draining"})


def test_figures_are_one_sample_a_worker() -> None:
    page = status.figures([worker(1), worker(2)], restarts=3, reloads={"taken": 4})

    assert 'foreword_worker_up{worker="1"} 1\nforeword_worker_up{worker="2"} 1\n' in page
    assert "foreword_worker_restarts_total 3\n" in page
    assert page.endswith('foreword_reloads_total{result="taken"} 4\n')
