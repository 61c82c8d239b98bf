"""Processes that divide the work of a command; here they are threads, which meet in one store."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore

from evlora import rank_group
from evlora.datasets import read_manifest
from evlora.errors import DatasetError, RunError
from evlora.evaluation import evaluate
from evlora.packing import pack
from evlora.rank_group import ALONE, RankGroup, Ranks, joined
from evlora.ranks import AllRanksError, OneRankError, Place, is_first_rank, launched
from evlora.recipe import load_recipe
from evlora.recognizer import build_recognizer


def in_ranks(size: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What each of the ranks returns or raises."""
    store = HashStore()

    def run(rank: int) -> Any:
        group = RankGroup(store, Place(rank, size, rank))
        try:
            found = work(group)
            group.end()
        except Exception as error:
            group.fail(error)
            return error
        finally:
            group.close()
        return found

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_group, "BEAT_S", 0.02)
    monkeypatch.setattr(rank_group, "CHUNK", 7)  # results of several entries


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("stretch", [1, 2, 4])
def test_pieces_are_divided_and_their_results_come_in_order(size: int, stretch: int) -> None:
    of_ranks: list[list[int]] = []
    for rank in range(size):
        one = Ranks()
        one.rank, one.size = rank, size
        of_ranks.append(one.places(7, stretch=stretch))
    assert ALONE.in_order(of_ranks, stretch=stretch) == list(range(7))


def test_each_rank_has_the_results_of_all_and_the_first_alone_does_what_one_may_do() -> None:
    done: list[int] = []

    def work(ranks: Ranks) -> Any:
        every = ranks.gather(lambda: {"rank": ranks.rank, "text": "é" * 20})
        ranks.first(lambda: done.append(ranks.rank))
        return [one["rank"] for one in every]

    assert in_ranks(3, work) == [[0, 1, 2]] * 3
    assert done == [0]


def test_what_one_rank_fails_of_ends_all_and_the_first_one_reports_it() -> None:
    def work(ranks: Ranks) -> None:
        ranks.gather(lambda: 1)
        if ranks.rank == 2:
            raise DatasetError("broken.npz")
        ranks.gather(lambda: 2) if ranks.rank else ranks.first(lambda: None)

    first, second, third = in_ranks(3, work)
    assert (type(first), str(first)) == (OneRankError, "rank 2: broken.npz")
    assert isinstance(second, AllRanksError)
    assert isinstance(third, DatasetError)


def test_a_rank_that_shows_no_life_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_group, "SILENT_S", 0.1)

    store = HashStore()
    dead = RankGroup(store, Place(1, 2, 1))
    dead.close()
    waiting = RankGroup(store, Place(0, 2, 0))
    with pytest.raises(OneRankError, match="rank 1 answers no more"):
        waiting.gather(lambda: 1)
    waiting.close()


@pytest.mark.parametrize("size", [pytest.param(2, marks=pytest.mark.slow), 3])
def test_ranks_score_a_split_that_they_cannot_divide_as_one_process_does(
    size: int, tiny_settings: dict[str, Any], tiny_dataset: Path
) -> None:
    manifest = read_manifest(tiny_dataset)
    config = load_recipe("demo", tiny_settings).recognizer()
    recognizers = [build_recognizer(config, manifest.labels).eval() for _ in range(size)]
    for one in recognizers:
        one.load_state_dict(recognizers[0].state_dict())
    options: dict[str, Any] = {"split": "val", "batch_size": 3, "resamples": 20}

    def of(ranks: Ranks) -> str:
        recognizer = recognizers[ranks.rank]
        return json.dumps(evaluate(recognizer, manifest, ranks=ranks, **options).as_dict())

    one = of(ALONE)
    assert json.loads(one)["samples"] == 20
    assert in_ranks(size, of) == [one] * size


@pytest.mark.slow
def test_ranks_pack_what_one_process_packs(tiny_dataset: Path, tmp_path: Path) -> None:
    from evlora.clips import ClipConfig

    config = ClipConfig(frames=2, size=32)
    one = pack(tiny_dataset, tmp_path / "one", config, workers=0)
    packed = in_ranks(
        2,
        lambda ranks: pack(tiny_dataset, tmp_path / "two", config, workers=0, ranks=ranks).manifest,
    )
    assert packed[0].samples == one.manifest.samples
    again = in_ranks(
        2,
        lambda ranks: pack(tiny_dataset, tmp_path / "two", config, workers=0, ranks=ranks).is_new,
    )
    assert again == [False, False]
    assert not (tmp_path / "two.packing").exists()


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}, (3, 4, 1)),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0"}, (0, 2, 0)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, None),  # the batch file itself
    ],
    ids=["torchrun", "srun", "sbatch"],
)
def test_a_process_knows_its_place_by_its_launcher(
    variables: dict[str, str], place: tuple[int, int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == place
    assert is_first_rank() == (place is None or place[0] == 0)


def test_a_process_alone_meets_nobody() -> None:
    with joined() as ranks:
        assert ranks is ALONE
    with pytest.raises(RunError, match="own"), joined():
        raise RunError("own")
