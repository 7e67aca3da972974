"""The worker: what is due runs once, what was cut off goes on, and what is wrong is refused with its reason."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.settings.read import load
from gateway.settings.tables import Settings
from gateway.state.job_orders import DONE, FAILED, REFUSED, TAKEN, WAITING, JobOrders
from offline_jobs.engine import worker as engine
from offline_jobs.engine.ledger import Ledger
from offline_jobs.engine.schedules import Schedule
from offline_jobs.engine.work import go_on, jobs_folder
from offline_jobs.engine.work import start as start_job
from offline_jobs.engine.worker import LOST_S, JobWorker, last_time, next_time
from tests.doubles.application import SYSTEM, requests, tickets
from tests.doubles.recorded import stored

CONFIG = '[data]\nfolder = "data"\n[prompt]\ntemplates = []\n[jobs.schedules]\nwatch = "*/10 * * * *"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path / "config.toml"


@pytest.fixture
def settings(config: Path) -> Settings:
    return load(config)


@pytest.fixture
def ledger(settings: Settings) -> Iterator[Ledger]:
    made = Ledger(jobs_folder(settings))
    yield made
    made.close()


def dead(_job: str) -> "subprocess.Popen[bytes]":
    """Start a process that dies at once, as a killed one does."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process


class InProcess:
    """Runs a job here, in place of a process of its own."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self.settings, self.ledger = settings, ledger
        self.jobs: list[str] = []

    def __call__(self, job: str) -> "subprocess.Popen[bytes]":
        self.jobs.append(job)
        go_on(self.settings, self.ledger, self.ledger.job(job))
        return dead(job)


def worker_of(settings: Settings, ledger: Ledger, config: Path, start: object = None) -> JobWorker:
    return JobWorker(settings, ledger, config, start or InProcess(settings, ledger))  # type: ignore[arg-type]


def test_an_order_is_carried_out_and_says_how_it_ended(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    stored(settings, requests(tickets(20), system=SYSTEM))
    assert orders.add("discover", {"since": "2020-01-01", "until": "2040-01-01"}, "root")
    worker = worker_of(settings, ledger, config)
    worker.look(time.time())
    worker.look(time.time())
    (order,) = orders.newest()
    assert (order.state, order.author) == (DONE, "root")
    assert "sort" in ledger.job(order.job).report
    assert worker.is_idle


@pytest.mark.parametrize(
    ("kind", "words", "reason"),
    [
        ("discovr", {}, "Did you mean 'discover'"),
        ("discover", {"sinse": "1d"}, "sinse"),
        ("found-examples", {}, "prompt"),
    ],
)
def test_a_wrong_order_is_refused_with_its_reason(
    settings: Settings, ledger: Ledger, config: Path, kind: str, words: dict[str, str], reason: str
) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add(kind, words, "root")
    worker_of(settings, ledger, config).look(time.time())
    (order,) = orders.newest()
    assert (order.state, order.job, reason in order.reason) == (REFUSED, "", True)
    assert not ledger.jobs()


def test_a_job_that_fails_is_told(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add("found-examples", {"prompt": "nothing"}, "root")
    worker = worker_of(settings, ledger, config)
    worker.look(time.time())
    worker.look(time.time())
    (order,) = orders.newest()
    assert (order.state, "no found prompt" in order.reason) == (FAILED, True)


def test_a_schedule_runs_once_each_time_and_what_was_missed_is_not_repeated(
    settings: Settings, ledger: Ledger, config: Path
) -> None:
    start, orders = InProcess(settings, ledger), JobOrders(settings.data_folder)
    one, two = worker_of(settings, ledger, config, start), worker_of(settings, ledger, config, start)
    now = next_time(Schedule("watch", "*/10 * * * *"), time.time()) + 30
    one.look(now - 60)
    assert not orders.newest()
    for worker in (one, two, one, two):
        worker.look(now)
    assert len(start.jobs) == 1
    one.look(now + 3 * 600)
    one.look(now + 3 * 600 + 5)
    assert len(start.jobs) == 2
    assert {order.author for order in orders.newest()} == {"schedule"}


def test_times_are_those_of_cron() -> None:
    sunday = Schedule("watch", "0 5 * * sun")
    now = datetime(2026, 11, 30, 12, 0).astimezone().timestamp()
    assert datetime.fromtimestamp(last_time(sunday, now)) == datetime(2026, 11, 29, 5, 0)
    assert datetime.fromtimestamp(next_time(sunday, now)) == datetime(2026, 12, 6, 5, 0)


def test_of_many_workers_one_takes_an_order(settings: Settings) -> None:
    orders = JobOrders(settings.data_folder)
    for number in range(20):
        orders.add("watch", {}, "root", f"order-{number:02d}")
    taken: list[str] = []
    threads = [
        threading.Thread(target=lambda: taken.extend(one.id for one in orders.in_state(WAITING) if orders.take(one.id)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"order-{number:02d}" for number in range(20)]


def test_a_job_that_was_cut_off_is_resumed_by_another_worker(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    stored(settings, requests(tickets(20), system=SYSTEM))
    orders.add("discover", {"since": "2020-01-01", "until": "2040-01-01"}, "root")
    worker_of(settings, ledger, config, dead).look(time.time())
    assert orders.newest()[0].state == TAKEN
    other = worker_of(settings, ledger, config)
    other.look(time.time())
    # its process may still be starting
    assert orders.newest()[0].state == TAKEN
    other.look(time.time() + LOST_S + 1)
    other.look(time.time() + LOST_S + 1)
    (order,) = [order for order in orders.newest() if order.kind == "discover"]
    assert (order.state, [job.kind for job in ledger.jobs()].count("discover")) == (DONE, 1)


def test_a_job_whose_process_is_starting_is_not_started_by_other_workers(
    settings: Settings, ledger: Ledger, config: Path
) -> None:
    started: list[str] = []

    def slow(job: str) -> "subprocess.Popen[bytes]":
        started.append(job)
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])

    orders = JobOrders(settings.data_folder)
    orders.add("discover", {}, "root")
    workers = [worker_of(settings, ledger, config, slow) for _ in range(3)]
    stop = threading.Event()
    stop.set()
    try:
        for _ in range(6):
            for worker in workers:
                worker.look(time.time())
        assert (len(started), orders.newest()[0].state) == (1, TAKEN)
    finally:
        for worker in workers:
            worker.work(stop)  # ends its processes


def test_of_many_workers_one_resumes_a_job(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add("discover", {}, "root")
    worker_of(settings, ledger, config, dead).look(time.time())
    (order,) = orders.in_state(TAKEN)
    assert [orders.retake(order) for _ in range(4)] == [True, False, False, False]


def test_a_database_that_is_locked_for_a_while_does_not_end_the_worker(
    settings: Settings, ledger: Ledger, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LOOK_EVERY_S", 0.01)
    worker, stop = worker_of(settings, ledger, config), threading.Event()
    looks: list[float] = []

    def look(now_s: float) -> None:
        looks.append(now_s)
        if len(looks) == 2:
            stop.set()
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(worker, "look", look)
    worker.work(stop)
    assert len(looks) == 2


def test_one_schedule_with_a_mistake_stops_no_other(settings: Settings, ledger: Ledger, config: Path) -> None:
    worker = worker_of(settings, ledger, config)
    now = next_time(Schedule("watch", "*/10 * * * *"), time.time()) + 30
    config.write_text(CONFIG + 'discovr = "*/10 * * * *"\nharvest = ["*/10 * * * *", "never"]\n')
    worker.look(now)
    assert {order.kind for order in JobOrders(settings.data_folder).newest()} == {"watch", "harvest"}


def test_a_job_that_another_process_has_finished_is_not_run_again(settings: Settings, ledger: Ledger) -> None:
    stored(settings, requests(tickets(20), system=SYSTEM))
    job = start_job(settings, ledger, "discover", {"since": "2020-01-01", "until": "2040-01-01"})
    again = go_on(settings, ledger, job)
    assert (again.state, again.ended_s) == ("done", job.ended_s)


def test_a_job_whose_process_always_dies_is_given_up(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add("discover", {}, "root")
    worker = worker_of(settings, ledger, config, dead)
    for _ in range(6):
        worker.look(time.time())
    assert (orders.newest()[0].state, "died 4 times" in orders.newest()[0].reason) == (FAILED, True)


def test_a_running_job_is_left_to_its_process(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add("discover", {}, "root")
    worker_of(settings, ledger, config, dead).look(time.time())
    start, other = InProcess(settings, ledger), Ledger(ledger.folder)
    with other.locked(orders.newest()[0].job):
        worker_of(settings, ledger, config, start).look(time.time())
    other.close()
    assert start.jobs == []


def test_an_order_that_a_dead_worker_had_taken_waits_again(settings: Settings, ledger: Ledger, config: Path) -> None:
    orders = JobOrders(settings.data_folder)
    orders.add("watch", {}, "root")
    orders.take(orders.newest()[0].id)
    worker = worker_of(settings, ledger, config)
    worker.look(time.time())
    assert orders.newest()[0].state == TAKEN
    worker.look(time.time() + LOST_S + 1)
    worker.look(time.time() + LOST_S + 2)
    assert orders.newest()[0].state == DONE


def test_watch_does_not_wait_for_a_long_job(settings: Settings, ledger: Ledger, config: Path) -> None:
    started: list[str] = []

    def endless(job: str) -> "subprocess.Popen[bytes]":
        started.append(job.split("-")[0])
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])

    orders = JobOrders(settings.data_folder)
    for kind in ("discover", "harvest", "watch"):
        orders.add(kind, {}, "root")
    worker = worker_of(settings, ledger, config, endless)
    worker.look(time.time())
    worker.look(time.time())
    assert sorted(started) == ["discover", "watch"] or sorted(started) == ["harvest", "watch"]
    stop = threading.Event()
    stop.set()
    worker.work(stop)  # ends its processes


def test_a_changed_configuration_is_read_and_a_broken_one_is_not(
    settings: Settings, ledger: Ledger, config: Path
) -> None:
    worker = worker_of(settings, ledger, config)
    now = next_time(Schedule("watch", "*/10 * * * *"), time.time()) + 30
    config.write_text("[jobs.schedules\n")
    worker.look(now)
    assert len(JobOrders(settings.data_folder).newest()) == 1
    config.write_text(CONFIG.replace("watch", "discover"))
    worker.look(now + 600)
    assert {order.kind for order in JobOrders(settings.data_folder).newest()} == {"watch", "discover"}


def test_the_command_works_in_processes_of_its_own(settings: Settings, ledger: Ledger, config: Path) -> None:
    stored(settings, requests(tickets(20), system=SYSTEM))
    JobOrders(settings.data_folder).add("discover", {"since": "2020-01-01", "until": "2040-01-01"}, "root")
    result = CliRunner().invoke(main, ["jobs", "work", "--once", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert JobOrders(settings.data_folder).newest()[0].state == DONE
    planned = CliRunner().invoke(main, ["jobs", "work", "--dry-run", "--config", str(config)]).output
    assert "watch" in planned
    assert "0 calls" in planned
