"""The science: methods, training, sampling and metrics; usable alone, knows no Prefect, MLflow or DVC.

Teach a base model a concept and draw it, for instance in a notebook:

    from pathlib import Path

    from PIL import Image

    from model.bases.base import load_base
    from model.runtime.device import numeric_policy, open_device
    from model.methods.presets import get_method
    from model.bases.prompt import ConceptPrompt
    from model.drawing.sampling_options import Sampling
    from model.drawing.sample import generate
    from model.training.train import train_stage

    base = load_base("toyworld/base", device=open_device("auto"))
    images = [Image.open(path) for path in sorted(Path("data/concepts/plum-turtle/images").iterdir())]
    prompt = ConceptPrompt("<plum-turtle>", "turtle")
    autocast = numeric_policy()["autocast"]

    weights = None
    for stage in get_method("attndreambooth", "toyworld").stages:
        trained = train_stage(
            base=base, stage=stage, images=images, prompt=prompt, previous=weights, seed=0, autocast=autocast
        )
        weights = trained.weights

    scene = prompt.fill("a watercolor of a {} in the snow")
    [pictures] = generate(base, weights, [scene], 4, Sampling(guidance_scale=3), autocast=autocast)
"""
