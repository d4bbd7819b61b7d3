"""Links from what a notebook shows to the reference: where the site of ``docs/`` is served.

The address is the environment variable ``RAYDP_ML_DOCS_URL``, else `ADDRESS`. Where there is none,
nothing is linked. `docs/conf.py` takes it too.
"""

from __future__ import annotations

import html
import os
import sys

ADDRESS = ""
"""Where the site of this release is served; "" until it is."""


def address() -> str:
    """Return where the site is served, without a slash at the end; "" if nowhere."""
    return os.environ.get("RAYDP_ML_DOCS_URL", ADDRESS).rstrip("/")


def page_of(cls: type) -> str:
    """Return the address of the reference page of a public class, as a value of HTML; or ""."""
    name = public_name(cls)
    site = address()
    return html.escape(f"{site}/reference/generated/{name}.html") if site and name else ""


def public_name(cls: type) -> str:
    """Return the name by which users import a class; "" for one that is not public."""
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        place = ".".join(parts[:end])
        module = sys.modules.get(place)
        public = getattr(module, "__all__", ())
        if cls.__name__ in public and getattr(module, cls.__name__) is cls:
            return f"{place}.{cls.__name__}"
    return ""


class Documented:
    """Mixin by which scikit-learn's HTML diagram links to our reference.

    The three names are scikit-learn's, for libraries beside it.
    """

    _doc_link_module = "raydp_ml"
    _doc_link_template = "{page}"

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        return {"page": page_of(type(self))}
