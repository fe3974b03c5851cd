"""All pages as a static site with a search, by ProperDocs, the successor of MkDocs.

`python -m tests.support.site DIRECTORY` builds it; a dead link fails it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.paths import DOCS, ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "fail2ban/README.md"]
_CONFIG = """\
site_name: portsentry-py
docs_dir: pages
site_dir: {site}
theme:
  name: mkdocs
plugins: [search]
strict: true
validation: {{links: {{not_found: warn, anchors: warn, unrecognized_links: warn}}}}
"""


def build(site: Path) -> None:
    """Build the site from a copy of the pages and of the files that they link to.

    Raises:
        CalledProcessError: a link is dead.
    """
    with tempfile.TemporaryDirectory(prefix="portsentry-site-") as name:
        folder = Path(name)
        for page in [*PAGES, *DOCS.rglob("*.md")]:
            _copy(page, folder / "pages")
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
                _copy((page.parent / target).resolve(), folder / "pages")
        (folder / "properdocs.yml").write_text(_CONFIG.format(site=site.resolve()), encoding="utf-8")
        # Not quietly: then a warning would not count as one.
        subprocess.run([sys.executable, "-m", "properdocs", "build"], cwd=folder, check=True)


def _copy(path: Path, folder: Path) -> None:
    there = folder / path.relative_to(ROOT)
    if path.is_file():
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)


if __name__ == "__main__":
    build(Path(sys.argv[1]))
