"""How Sphinx builds the site. `make docs` runs it with warnings as errors; a page that is open fetches nothing."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "altgrad"
html_title = "altgrad"
copyright = "altgrad contributors"
extensions = ["myst_nb", "sphinx.ext.autodoc", "docs.ext.annotated", "docs.ext.mathml", "docs.ext.offline"]
exclude_patterns = ["_build", "conf.py", "examples", "ext", "lessons/solutions", "screenshots.py"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # so that links to a section are checked too
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 120

default_role = "literal"  # in docstrings, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures say the shapes' names, docstrings the shapes
nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # Python's and NumPy's own names have no page here

html_theme = "pydata_sphinx_theme"
# The list of pages beside a page: not where there is none, nor where code needs the room.
html_sidebars = {page: [] for page in ("index", "tour", "testers", "api", "architecture", "modules/*")}
html_context = {"default_mode": "auto"}  # light or dark, as the reader has it
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {
    "footer_end": [],
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "show_toc_level": 2,
}
