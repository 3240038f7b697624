"""What embeddings say of pictures: likeness, prompt following, retrieval. Every function gives (prompts, pictures).

All embeddings are of length 1, so that a product is a cosine.
"""

import torch


def likeness(generated: torch.Tensor, instance: torch.Tensor) -> torch.Tensor:
    """Mean cosine of each picture (prompts, pictures, width) to the instance images (images, width).

    CLIP-I with CLIP's embeddings (arXiv 2208.01618), DINO with those of a DINO model (arXiv 2208.12242).
    """
    return (generated @ instance.T).mean(dim=-1)


def likeness_beyond_nearest(generated: torch.Tensor, instance: torch.Tensor) -> torch.Tensor:
    """The same without the image that is nearest to the picture, if there are three or more.

    A picture that repeats one of the images has a cosine of 1 to that one, and so would win over every picture of the
    thing in a new pose and place. What it shares with the others is what it says of the thing.
    """
    cosines = generated @ instance.T  # (prompts, pictures, images)
    count = len(instance)
    if count < 3:
        return cosines.mean(dim=-1)
    return (cosines.sum(dim=-1) - cosines.amax(dim=-1)) / (count - 1)


def prompt_likeness(generated: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """Cosine of each picture (prompts, pictures, width) to the text (prompts, width) of its own prompt: CLIP-T."""
    return (generated @ text[:, :, None])[..., 0]


def prompt_retrieval(generated: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """1 where a picture (prompts, pictures, width) is nearest to its own prompt of all (prompts, width), else 0.

    Unlike a cosine it cannot be raised by pictures that please every prompt a little. A tie is no hit.
    """
    cosines = generated @ text.T  # (prompts, pictures, prompts)
    own = torch.eye(len(text), dtype=torch.bool, device=text.device)[:, None]  # (prompts, 1, prompts)
    best_other = cosines.masked_fill(own, -torch.inf).amax(dim=-1)
    return (prompt_likeness(generated, text) > best_other).to(cosines.dtype)


def identity_rank(generated: torch.Tensor, instance: torch.Tensor, look_alikes: torch.Tensor) -> torch.Tensor:
    """Average precision of each picture (prompts, pictures, width) as a query for its concept among look-alikes.

    The gallery holds the concept's images (images, width) and those of other things of its kind (others, width), and is
    ranked by cosine; the mean over pictures is the mAP of Finer-Personalization Rank (arXiv 2512.19026). A cosine alone
    rewards some teapot, this asks for the teapot. 1: all of the concept's images come first. A look-alike that is as
    near as an image of the concept stands before it.
    """
    right = generated @ instance.T  # (prompts, pictures, images)
    wrong = generated @ look_alikes.T  # (prompts, pictures, others)
    right = right.sort(dim=-1, descending=True).values
    before = (wrong[..., None, :] >= right[..., None]).sum(dim=-1)  # look-alikes before the k-th image
    place = torch.arange(1, right.shape[-1] + 1, device=right.device)
    return (place / (place + before)).mean(dim=-1)
