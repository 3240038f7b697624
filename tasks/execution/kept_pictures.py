"""Pictures as they are drawn, one file each, so that a stage that was stopped does not draw them again."""

from pathlib import Path

from PIL import Image

from model.reading.pictures import OURS, open_picture


class KeptPictures:
    """Pictures of prompts in a folder: number `image` of each `prompt`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, prompt: int, image: int, picture: Image.Image) -> None:
        """Keep a picture; it is there whole or not at all."""
        path = self.path(prompt, image)
        unfinished = path.with_suffix(".part")
        picture.save(unfinished, format="PNG")
        unfinished.replace(path)

    def get(self, prompt: int, image: int) -> Image.Image | None:
        """The picture, or None where it is not there or cannot be read."""
        try:
            with open_picture(self.path(prompt, image), OURS) as picture:
                picture.load()
                return picture.copy()
        except (OSError, SyntaxError, ValueError):  # Pillow's words for a PNG that is cut off or altered
            return None

    def path(self, prompt: int, image: int) -> Path:
        """Where the picture lies once it is there."""
        return self._folder / f"{prompt:02}-{image:02}.png"
