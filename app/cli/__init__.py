"""The command line: the embedded service, the single processes of a deployment, and their maintenance.

A module of this package holds the commands of one subject. This one adds them to the group `main`.
"""

import click

from app.cli.data import backup, restore, storage
from app.cli.encoders import encoders
from app.cli.keys import keys
from app.cli.maintenance import check, migrate
from app.cli.processes import api, beat, demo, up, worker


@click.group(context_settings={"show_default": True})
@click.version_option(package_name="isthmus")
def main() -> None:
    """Isthmus: labelled source data in, a model that works on your unlabelled target data out.

    Every setting is an ISTHMUS_* variable of the environment or of a .env file; docs/reference/settings.md lists them.
    """


for command in (up, migrate, api, worker, beat, check, keys, encoders, demo, storage, backup, restore):
    main.add_command(command)
