"""The area under the ROC curve, against its definition."""

import pytest
import torch

from CartoonGAN import auc


@pytest.mark.parametrize(("size", "levels"), [(1, 3), (50, 4), (300, 10**6)])
def test_auc_is_the_share_of_pairs_in_order(size, levels):
    random = torch.Generator().manual_seed(size)
    real, fake = torch.randint(levels, (2, size, 1, 2, 3), generator=random).bfloat16()
    above, same = (compare(real.view(-1, 1), fake.view(1, -1)) for compare in (torch.gt, torch.eq))
    assert auc(real, fake).item() == pytest.approx(
        (above.double() + same.double() / 2).mean().item(), abs=1e-6
    )


def test_chance_and_certainty():
    same, higher = torch.zeros(2, 1, 4, 4), torch.ones(3, 1, 4, 4, requires_grad=True)
    assert [auc(*pair).item() for pair in ((same, same), (higher, same), (same, higher))] == [0.5, 1, 0]
    assert not auc(higher, same).requires_grad
