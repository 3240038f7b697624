"""A chain in the terminal: a tree from the promoted version down to the images."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tasks.figures.score_words import interval
from tasks.lineage.words import SHORT, devices_compared, git_words, number, size_words, when_words

_TOLD = (
    "learning_rate",
    "max_train_steps",
    "batch_size",
    "attention_mean_weight",
    "attention_variance_weight",
    "lora_rank",
    "lora_alpha",
    "train_text_encoder",
    "prior_weight",
    "context_embedding_weight",
    "context_attention_weight",
    "semantic_weight",
)
_SCORES = (("clip_i", "CLIP-I"), ("clip_t", "CLIP-T"))
_MOST_PROMPTS = 12


def lineage_head(lineage: Mapping[str, Any]) -> Tree:
    """The beginning of `lineage_tree`: the version, what became of it, and its evaluation."""
    tree = Tree(_version(lineage), guide_style="dim")
    if revoked := lineage["revoked"]:
        tree.add(Text(f"revoked on {revoked['at'][:10]} (record {revoked['seq']}): {revoked['reason']}", "bold red"))
    for entry in lineage["promotions"]:
        tree.add(_promotion(entry))
    if lineage["evaluation"]:
        tree.add(_evaluation(lineage["evaluation"], lineage["evaluator"]))
    return tree


def lineage_tree(lineage: Mapping[str, Any]) -> Tree:
    """The tree of a lineage document (`tasks.lineage.document`)."""
    tree = lineage_head(lineage)
    for adoption in lineage["adoptions"]:
        tree.add(_adoption(adoption))
    for attestation in lineage["attestations"]:
        tree.add(_attestation(attestation))
    for stage in lineage["stages"]:
        tree.add(_training(stage))
    if base := lineage["base"]:
        files = (f"{name} {sha256[:SHORT]}" for name, sha256 in base.get("files", {}).items())
        tree.add(_node("base model", base["reference"], *_model(base), ", ".join(files)))
    if prepared := lineage["prepared"]:
        branch = tree.add(_node("prepared images", prepared["key"][:SHORT], _made(prepared), *_origin(prepared)))
        _images(branch, lineage)
    if drawn := lineage["class_images"]:
        tree.add(_class_images(drawn))
    tree.add(_node("signatures", lineage["signatures"]))
    for problem in lineage["problems"]:
        tree.add(Text(problem, style="bold red"))
    return tree


def _version(lineage: Mapping[str, Any]) -> Text:
    line = Text(lineage["concept"], style="bold")
    if version := lineage["version"]:
        line.append(f"  {version['model']} version {version['version']}", style="bold")
        line.append("".join(f" @{alias}" for alias in version["aliases"]), style="cyan")
        line.append(f"  content {str(version['content'])[:SHORT]}", style="dim")
    return line


def _promotion(entry: Mapping[str, Any]) -> RenderableType:
    """A record of the production ledger, and for ever which gates it passed over."""
    passed = sum(gate["passed"] for gate in entry["gates"])
    over = [f"passed over {gate}: {reason}" for gate, reason in entry["overridden"].items()]
    approved = f", approved by {entry['approved_by']}" if entry["approved_by"] else ""
    return _node(
        f"production record {entry['seq']}",
        entry["action"],
        f"{entry['model']} version {entry['production_version']}, release {str(entry['release'])[:SHORT]}",
        f"{when_words(entry['at'])} by {entry['by']}{approved}: {entry['reason']}",
        f"{passed} of {len(entry['gates'])} gates passed" if entry["gates"] else "",
        *over,
    )


def _adoption(adoption: Mapping[str, Any]) -> RenderableType:
    """What was made by earlier code counts as made by later code, and who proved that on what."""
    proofs = [
        f"proved on {each['concept']}: {len(each['stages'])} artefacts {each['agreement']}, {devices_compared(each)}"
        for each in adoption["proof"]
    ]
    return _node(
        f"adoption {adoption['number']}",
        ", ".join(adoption["stages"]),
        f"{when_words(adoption['at'])} by {adoption['by']}: {adoption['reason']}",
        "these stages count as made by later code and libraries, though earlier ones made them",
        *proofs,
        f"no gate counts it: {adoption['unsigned']}" if adoption["unsigned"] else "",
    )


def _attestation(attestation: Mapping[str, Any]) -> RenderableType:
    return _node(
        f"attestation {attestation['number']}",
        ", ".join(attestation["stages"]),
        f"{when_words(attestation['at'])} by {attestation['by']}",
        f"commit {attestation['commit'][:SHORT]} holds what these were made from, which was not committed then: "
        f"{len(attestation['files'])} files and image set {attestation['image_set'][:SHORT]}",
        f"no gate counts it: {attestation['unsigned']}" if attestation["unsigned"] else "",
    )


def _evaluation(stage: Mapping[str, Any], evaluator: Mapping[str, Any] | None) -> RenderableType:
    drawn = stage["parameters"]
    prompts = drawn["prompts"]
    scores = [
        f"{name} {interval(stage['scores'][key])}, untrained base {interval(stage['scores'][f'base_{key}'])}"
        for key, name in (_SCORES if stage["scores"] else ())
    ]
    listed = [f'"{prompt}"' for prompt in prompts[:_MOST_PROMPTS]]
    rest = [f"and {len(prompts) - _MOST_PROMPTS} more"] if len(prompts) > _MOST_PROMPTS else []
    return _node(
        "evaluation",
        stage["key"][:SHORT],
        *scores,
        f"{len(prompts)} prompts x {drawn['images_per_prompt']} pictures, seed {stage['seed']}, "
        f"guidance {number(drawn['guidance_scale'])}, {drawn['num_inference_steps']} steps",
        ", ".join(listed + rest),
        f"evaluator {evaluator['reference']}, {', '.join(_model(evaluator))}"
        if evaluator
        else "evaluator not recorded",
        _made(stage),
        *_origin(stage),
    )


def _training(stage: Mapping[str, Any]) -> RenderableType:
    parameters = stage["parameters"]["stage"]
    name = stage["stage"].split("-", 2)
    told = ", ".join(f"{key} {number(parameters[key])}" for key in _TOLD if key in parameters)
    losses = ", ".join(f"{key} {value:.4g}" for key, value in stage["metrics"].items() if key.endswith("loss"))
    seeded = f"seed {stage['seed']}"
    return _node(
        f"stage {name[1]}, {name[2]}", stage["key"][:SHORT], told, losses, f"{seeded}, {_made(stage)}", *_origin(stage)
    )


def _class_images(stage: Mapping[str, Any]) -> RenderableType:
    facts = stage["parameters"]
    said = (
        f'{facts["count"]} pictures of "{facts["prompt"]}" by the base, seed {stage["seed"]}, guidance '
        f"{number(facts['guidance_scale'])}, {facts['num_inference_steps']} steps"
    )
    return _node("class images", stage["key"][:SHORT], said, _made(stage), *_origin(stage))


def _images(branch: Tree, lineage: Mapping[str, Any]) -> None:
    image_set = lineage["image_set"]
    commit = f" at git {image_set['git_commit'][:SHORT]}" if image_set["git_commit"] else ""
    stated = {f"licence {i['licence']}; source {i['source']}; consent {i['consent']}" for i in lineage["images"]}
    data = branch.add(_node("image set", str(image_set["digest"]), f"{image_set['state']}{commit}", *sorted(stated)))
    for image in lineage["images"]:
        brought = f", brought as {image['original']} ({image['original_sha256'][:SHORT]})" if image["original"] else ""
        size = f"{image['width']} x {image['height']} prepared, {size_words(image['size'])}{brought}"
        data.add(_node(image["made_from"], image["sha256"][:SHORT], size))


def images_table(lineage: Mapping[str, Any]) -> Table:
    """The images that a model was trained on, one a row: what they are called, whose they are, their hashes."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", title="Trained on", title_justify="left")
    for title in ("image", "sha256", "licence", "source"):
        table.add_column(title, overflow="fold")
    for image in lineage["images"]:
        brought = f"{image['made_from']} ({image['original']})" if image["original"] else image["made_from"]
        table.add_row(*map(Text, (brought, image["sha256"][:SHORT], str(image["licence"]), str(image["source"]))))
    return table


def _made(stage: Mapping[str, Any]) -> str:
    return f"{when_words(stage['created'])}, {stage['wall_seconds']:.1f} s on {stage['device']}"


def _origin(stage: Mapping[str, Any]) -> tuple[str, str]:
    packages = ", ".join(f"{name} {version}" for name, version in stage["packages"].items())
    return f"code {stage['code_digest'][:SHORT]} ({len(stage['code'])} files), {git_words(stage['git'])}", packages


def _model(model: Mapping[str, Any]) -> tuple[str, ...]:
    revision = (f"revision {model['revision']}",) if model["revision"] else ()
    files = model.get("files")
    digests = f"{len(files)} files" if files else "digests of its files not recorded"
    licence = (f"licence {model['licence']}",) if "licence" in model else ()
    return (*revision, f"digest {model['digest'][:SHORT]}, {digests}", *licence)


def _node(title: str, key: str, *lines: str) -> RenderableType:
    head = Text.assemble((title, "bold"), "  ", (key, "cyan"))
    return Group(head, *(Text(line, style="dim") for line in lines if line))
