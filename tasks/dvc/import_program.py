"""`dvc import` of several folders of one repository, which is cloned once. Run as a program, by tasks.dvc.command.

python -m tasks.dvc.import_program URL COMMIT FOLDER=TARGET ...
"""

import logging
import sys


def main(url: str, commit: str, *folders: str) -> None:
    """Import each folder of the repository at that commit; `TARGET.dvc` says where it came from."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    with Repo() as repo:
        for folder in folders:
            path, _, target = folder.partition("=")
            repo.imp(url, path, out=target, rev=commit)


if __name__ == "__main__":
    main(*sys.argv[1:])
