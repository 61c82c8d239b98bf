"""CutMix: the same box in both modalities, and labels by its area."""

import torch

from evlora.training.mixing import mix_clips


def test_cutmix_puts_the_same_box_into_both_modalities() -> None:
    torch.manual_seed(3)
    rgb = torch.arange(6.0)[:, None, None, None, None].expand(6, 2, 3, 8, 8).clone()
    (cut_rgb, cut_events), shares = mix_clips(
        [rgb, 10 * rgb], torch.arange(6), mixup=0, cutmix=1.0, num_classes=6
    )
    assert cut_rgb is not None
    assert cut_events is not None
    assert type(cut_rgb) is torch.Tensor
    torch.testing.assert_close(cut_events, 10 * cut_rgb)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(6))
    # Each clip has pixels of itself and of one other clip, in proportion to their shares.
    for number in range(6):
        counts = (cut_rgb[number, :, 0].long().flatten()).bincount(minlength=6) / (2 * 64)
        torch.testing.assert_close(counts, shares[number])
    assert bool((shares.diagonal() < 1).all())
    # The box is the same at each moment.
    torch.testing.assert_close(cut_rgb[:, 0], cut_rgb[:, 1])
    (_, nothing), _ = mix_clips([rgb, None], torch.arange(6), mixup=0, cutmix=1.0, num_classes=6)
    assert nothing is None


def test_of_mixup_and_cutmix_one_is_drawn_for_each_batch() -> None:
    rgb = torch.arange(6.0)[:, None, None, None, None].expand(6, 1, 3, 8, 8).clone()
    is_whole = []
    for seed in range(20):
        torch.manual_seed(seed)
        (mixed, _), _ = mix_clips(
            [rgb, None], torch.arange(6), mixup=1.0, cutmix=1.0, num_classes=6
        )
        assert mixed is not None
        is_whole.append(bool((mixed == mixed.round()).all()))
    assert 4 < sum(is_whole) < 16
