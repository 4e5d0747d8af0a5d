"""Older results that the discriminator is shown again."""

from training.steps import Pool


def test_an_empty_pool_shows_the_newest():
    pool = Pool(0, 0)
    assert all(pool.exchange(n, (2, 1, n)) == n for n in range(50)) and pool.batches == []


def test_a_pool_fills_and_then_shows_an_older_batch_half_of_the_time():
    pool = Pool(4, 0)
    assert [pool.exchange(n, (2, 1, n)) for n in range(4)] == pool.batches == [0, 1, 2, 3]
    shown = [pool.exchange(n, (2, 1, n)) for n in range(4, 1004)]
    older = [n for n, batch in enumerate(shown, 4) if batch != n]
    assert 430 < len(older) < 570
    assert len(set(shown)) == 1000 and set(shown) | set(pool.batches) == set(range(1004))
    assert {n - shown[n - 4] for n in older} >= set(range(1, 9))


def test_the_choice_of_a_pool_is_a_function_of_seed_and_place():
    def shown(seed, epoch):
        pool = Pool(3, seed)
        return [pool.exchange(n, (2, epoch, n)) for n in range(100)]

    assert shown(1, 1) == shown(1, 1)
    assert shown(1, 1) != shown(2, 1)
    assert shown(1, 1) != shown(1, 2)
