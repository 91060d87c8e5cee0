"""The trainers among the processes of a service. Each is a fork of a template, whose command line it has."""

from contextlib import suppress

import psutil

TEMPLATE = "worker.template"


def forked_trainers(process: psutil.Process) -> list[psutil.Process]:
    """Return the running trainers below this process."""
    templates = [child for child in process.children(recursive=True) if _is_template(child)]
    ids = {template.pid for template in templates}
    return [template for template in templates if template.ppid() in ids]


def _is_template(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # ended, or a zombie
        return TEMPLATE in process.cmdline()
    return False
