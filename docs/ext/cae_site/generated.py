"""What is generated, by the name that a page gives."""

from collections.abc import Callable

from cae_site.api import api
from cae_site.commands import command_reference
from cae_site.demo_pictures import demo_examples, demo_standing, demo_table
from cae_site.exit_codes import exit_codes
from cae_site.explained_faults import explained_faults
from cae_site.extras import extras, versions
from cae_site.idea import idea
from cae_site.keras_layers import keras_layers
from cae_site.kinds import kinds
from cae_site.methods import forms, methods
from cae_site.operators import operators

__all__ = ["GENERATED"]

GENERATED: dict[str, Callable[[], str]] = {
    "api": api,
    "commands": command_reference,
    "demo-examples": demo_examples,
    "demo-standing": demo_standing,
    "demo-table": demo_table,
    "exit-codes": exit_codes,
    "explained-faults": explained_faults,
    "extras": extras,
    "forms": forms,
    "idea": idea,
    "keras-layers": keras_layers,
    "kinds": kinds,
    "methods": methods,
    "operators": operators,
    "versions": versions,
}
"""Each returns Markdown."""
