"""Steps are done once, budgets are hard, and a job that stopped goes on."""

from pathlib import Path

import pytest

from gateway.settings.jobs import Jobs, Price
from gateway.settings.tables import Settings
from offline_jobs.engine.budget import JobBudget, Spent, admit, budget_of, cost
from offline_jobs.engine.executor import Local
from offline_jobs.engine.ledger import Ledger, LedgerJob, key_of
from offline_jobs.engine.run import JobRun
from offline_jobs.errors import BudgetSpent, Cancelled, JobFailed

BUDGET = JobBudget(10, 1000, 1.0, 60.0)


def a_run(settings: Settings, ledger: Ledger, job: LedgerJob | None = None) -> JobRun:
    return JobRun(job or ledger.create("harvest", {}, BUDGET), settings, ledger, Local())


def test_a_step_is_done_once_for_the_same_inputs_and_again_for_others(settings: Settings, ledger: Ledger) -> None:
    run = a_run(settings, ledger)
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return number * 2

    found = [run.step("double", number, lambda number=number: work(number), int) for number in (1, 1, 2, 1)]
    assert (found, done) == ([2, 2, 4, 2], [1, 2])


def test_another_run_of_the_job_finds_the_steps_done_and_another_job_does_not(
    settings: Settings, ledger: Ledger
) -> None:
    first = a_run(settings, ledger)
    first.step("double", 1, lambda: 2, int)
    again = a_run(settings, ledger, first.job)
    assert again.step("double", 1, lambda: pytest.fail("done twice"), int) == 2
    assert a_run(settings, ledger).step("double", 1, lambda: 3, int) == 3


def test_a_job_that_is_a_part_of_a_cancelled_one_ends_with_it(settings: Settings, ledger: Ledger) -> None:
    whole = a_run(settings, ledger)
    part = JobRun(ledger.create("optimise", {}, BUDGET), settings, ledger, Local(), parent=whole)
    ledger.cancel(whole.job.id)
    with pytest.raises(Cancelled):
        part.step("double", 1, lambda: pytest.fail("done although cancelled"), int)
    late = a_run(settings, ledger, ledger.create("improve-prompts", {}, JobBudget(10, 1000, 1.0, 1e-9)))
    with pytest.raises(BudgetSpent):
        JobRun(part.job, settings, ledger, Local(), parent=late).check()


def test_a_step_that_raises_is_not_done(settings: Settings, ledger: Ledger) -> None:
    run = a_run(settings, ledger)
    with pytest.raises(ZeroDivisionError):
        run.step("divide", 0, lambda: 1 // 0, int)
    assert run.step("divide", 0, lambda: 7, int) == 7


def test_a_cancelled_job_ends_before_its_next_step(settings: Settings, ledger: Ledger) -> None:
    run = a_run(settings, ledger)
    ledger.cancel(run.job.id)
    for _ in range(2):
        with pytest.raises(Cancelled):
            run.step("double", 1, lambda: pytest.fail("it went on"), int)


def test_the_time_of_all_runs_counts(settings: Settings, ledger: Ledger) -> None:
    job = ledger.create("harvest", {}, BUDGET)
    ledger.worked(job.id, 59.0)
    now = iter([0.0, 5.0, 5.0, 5.0])
    run = JobRun(job, settings, ledger, Local(), clock=lambda: next(now))
    with pytest.raises(BudgetSpent, match="all 1 minutes of the budget are used"):
        run.check()


@pytest.mark.parametrize(
    ("spent", "tokens", "money", "fits"),
    [
        (Spent(9, 0, 0.0), 1, 0.0, True),
        (Spent(10, 0, 0.0), 1, 0.0, False),
        (Spent(0, 900, 0.0), 100, 0.0, True),
        (Spent(0, 900, 0.0), 101, 0.0, False),
        (Spent(0, 0, 0.9), 1, 0.1, True),
        (Spent(0, 0, 0.9), 1, 0.2, False),
    ],
)
def test_a_call_that_might_pass_a_limit_is_not_made(spent: Spent, tokens: int, money: float, fits: bool) -> None:
    if fits:
        admit(BUDGET, spent, tokens, money)
    else:
        with pytest.raises(BudgetSpent):
            admit(BUDGET, spent, tokens, money)


def test_no_money_limit_means_none() -> None:
    admit(budget_of(Jobs()), Spent(money=1e9), 1, 1e9)


def test_a_model_without_a_price_is_free() -> None:
    prices = {"big": Price(prompt=2.0, completion=10.0)}
    assert (cost(prices, "big", 500_000, 100_000), cost(prices, "small", 500_000, 100_000)) == (2.0, 0.0)


def test_two_processes_cannot_run_one_job(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    job = first.create("harvest", {}, BUDGET)
    with first.locked(job.id):
        assert second.running(job.id)
        with pytest.raises(JobFailed, match="running already"), second.locked(job.id):
            pass
    assert not second.running(job.id)
    first.close()
    second.close()


def test_a_job_is_found_by_the_start_of_its_id_unless_there_are_several(ledger: Ledger) -> None:
    job = ledger.create("harvest", {"since": "7d"}, BUDGET)
    ledger.create("drift", {}, BUDGET)
    assert ledger.job("harv") == job
    ledger.create("harvest", {}, BUDGET)
    with pytest.raises(JobFailed, match="several"):
        ledger.job("harv")
    with pytest.raises(JobFailed, match="no job"):
        ledger.job("nothing")


def test_the_key_does_not_depend_on_the_order_of_a_table() -> None:
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1}) != key_of("b", {"x": 1, "y": 2})


def test_jobs_that_run_are_found_however_many_came_after_them(settings: Settings, ledger: Ledger) -> None:
    running, killed = (ledger.create("optimise", {}, BUDGET) for _ in range(2))
    for _ in range(30):
        ledger.end(ledger.create("watch", {}, BUDGET).id, "done")

    with ledger.locked(running.id):
        assert [job.id for job in ledger.under_way()] == [running.id]
        assert killed.id not in [job.id for job in ledger.jobs(20)]


def test_a_job_is_continued_only_with_the_same_words(ledger: Ledger) -> None:
    first = ledger.create("optimise", {"template": "a.en"}, BUDGET)
    second = ledger.create("optimise", {"template": "b.en"}, BUDGET)

    last = ledger.last("optimise", {"template": "a.en"})

    assert last is not None and (last.id, last.words) == (first.id, {"template": "a.en"})
    assert ledger.last("optimise", {"template": "c.en"}) is None
    newest = ledger.last("optimise", {})
    assert newest is not None and newest.id == second.id
