"""Whether what the configurations of a base's parts promise of sizes is what the weights beside them have."""

from collections.abc import Mapping

from model.bases.weight_files import TensorShape
from model.families.family import Configs, Family


def shape_problems(family: Family, configs: Configs, shapes: Mapping[str, Mapping[str, TensorShape]]) -> list[str]:
    """Where the configurations promise other sizes than the tensors in the weights have."""
    problems = []
    for part, wanted in family.promised(configs).items():
        for name, shape in shapes.get(part, {}).items():
            for axis, size, called in wanted.get(name, ()):
                if axis < len(shape.shape) and shape.shape[axis] != size:
                    problems.append(
                        f"{part}/config.json: {called} {size}, and its weights have {shape.shape[axis]} ({name})"
                    )
    return problems
