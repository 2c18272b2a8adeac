"Settings of the site; tests/tools/site.py writes the pages that Sphinx reads."
import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_settings = configparser.ConfigParser(delimiters=["="])
_settings.read(ROOT / "settings.ini", encoding="utf-8")

project = _settings["DEFAULT"]["title"]
author = _settings["DEFAULT"]["author"]
copyright = _settings["DEFAULT"]["copyright"]
release = _settings["DEFAULT"]["version"]

extensions = ["myst_nb", "sphinx.ext.mathjax"]
exclude_patterns = ["files"]
suppress_warnings = ["myst.header"]   # a lesson may go from ## to ####
nitpicky = False

nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js = {}
nb_render_markdown_format = "myst"
nb_mime_priority_overrides = [("html", "image/png", 1), ("html", "text/markdown", 2)]
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4

python_maximum_signature_line_length = 70
toc_object_entries = False
add_module_names = False
default_dark_mode = False

html_theme = "furo"
html_title = "tokenbridge"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#1f4e9c", "color-brand-content": "#1f4e9c"},
    "dark_css_variables": {"color-brand-primary": "#8ab4f8", "color-brand-content": "#8ab4f8"},
}
mathjax_path = "mathjax/tex-svg-full.js"   # copied there from npm's package
mathjax3_config = {"options": {"enableMenu": False}}
pygments_style = "tango"
pygments_dark_style = "monokai"

_OPENED = re.compile(r'(<div class="cell [^"]*\btag_opened\b[^"]*">\s*<details )')


def open_folds(app, pagename, template, context, doctree) -> None:
    "Cells with the tag `opened` begin unfolded; the search finds its texts in a file."
    if "body" in context:
        context["body"] = _OPENED.sub(r"\1open ", context["body"])
    if pagename == "search":   # see static/summaries.js
        app.add_js_file("texts.js")
        app.add_js_file("summaries.js")


def setup(app) -> dict:
    app.connect("html-page-context", open_folds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
