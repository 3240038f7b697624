"""Scene leakage: pictures that show a scene of the concept's own images where their prompt asks for another.

A training image put in the place of the prompt is what fine-tuning on few images is prone to. Likeness rewards it, for
nothing is more like the images than one of them, so it needs a score of its own.
"""

from collections.abc import Sequence

import torch


def shown_scenes(pictures: torch.Tensor, scenes: torch.Tensor) -> torch.Tensor:
    """The number of the nearest scene of each picture: (..., width) and (scenes, width) give (...).

    Embeddings of length 1 by CLIP; a scene's is that of "a photo of a CATEGORY SCENE", so that all scenes differ in the
    scene alone. Zero-shot classification (arXiv 2103.00020).
    """
    return (pictures @ scenes.T).argmax(dim=-1)


def scene_leakage(
    generated: torch.Tensor, instance: torch.Tensor, scenes: torch.Tensor, asked: Sequence[Sequence[int]]
) -> torch.Tensor:
    """1 where a picture (prompts, pictures, width) shows a scene of the images (images, width) that was not asked for.

    `asked` are for each prompt the numbers of the scenes (scenes, width) that it names. A prompt that names none leaves
    the scene free, and its pictures are 0.
    """
    own, shown = shown_scenes(instance, scenes), shown_scenes(generated, scenes)  # (images,), (prompts, pictures)
    leaks = torch.isin(shown, own)
    for row, wanted in enumerate(asked):
        free = torch.tensor(list(wanted), dtype=shown.dtype, device=shown.device)
        leaks[row] &= ~torch.isin(shown[row], free) if wanted else False
    return leaks.to(generated.dtype)
