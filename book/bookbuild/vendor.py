"""Get the scripts and fonts that the pages load, and the live page's runtime, so that the book needs no network."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from .layout import BOOK, VENDOR
from .npm import install_packages

SCRIPTS = BOOK / "scripts"
RUNTIME = BOOK / "_runtime"  # of ONNX; apart from the others, because only a page that has weights gets it
TYPESETTER = BOOK / "_typesetter"  # MathJax for Node.js, which sets the formulas of PDF and EPUB
_MATHJAX = "mathjax/es5"
_WIDGETS = "@jupyter-widgets/html-manager"
_ONNX = "onnxruntime-web/dist"
_TYPESETTER_FILES = (
    "node-main.js",
    "input/tex-full.js",
    "output/svg.js",
    "output/svg/fonts/tex.js",
    "adaptors/liteDOM.js",
)
RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # script and WebAssembly, of one version


def vendor() -> bool:
    """Fill `_vendor` from the locked npm packages, only where the lock or our scripts have changed.

    Gives False, and says so, where npm is absent: the pages then take both from their usual public address.

    Raises:
        BuildError: npm is there but could not install the packages.
    """
    target, stamp = VENDOR / "vendor", VENDOR / ".key"
    key = _key()
    if stamp.exists() and stamp.read_text() == key and RUNTIME.is_dir() and TYPESETTER.is_dir():
        print("unchanged: MathJax and the widget manager")
        return True
    if shutil.which("npm") is None:
        for folder in (VENDOR, RUNTIME, TYPESETTER):
            shutil.rmtree(folder, ignore_errors=True)
        print("npm is not installed: the pages will load MathJax and the widget manager from their usual public")
        print("address and need a network. For a book that needs none, install npm and build again. The live page will")
        print("show recorded pictures, and there will be no PDF and no EPUB of the book.")
        return False
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(BOOK / name, folder)
        install_packages(Path(folder), "book/package-lock.json")
        shutil.rmtree(VENDOR, ignore_errors=True)
        _copy(Path(folder) / "node_modules", target)
        shutil.rmtree(RUNTIME, ignore_errors=True)
        RUNTIME.mkdir()
        for name in RUNTIME_FILES:
            shutil.copy(Path(folder) / "node_modules" / _ONNX / name, RUNTIME)
        shutil.rmtree(TYPESETTER, ignore_errors=True)
        for name in _TYPESETTER_FILES:
            (TYPESETTER / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder) / "node_modules" / _MATHJAX / name, TYPESETTER / name)
    stamp.write_text(key)
    return True


def _key() -> str:
    """Hash of the npm lock, our own page scripts and this file."""
    digest = hashlib.sha256()
    for path in [BOOK / "package.json", BOOK / "package-lock.json", Path(__file__), *sorted(SCRIPTS.glob("*.js"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _copy(modules: Path, target: Path) -> None:
    """Copy what the pages ask for, with licences, out of npm's folder of packages."""
    fonts = Path("output/chtml/fonts/woff-v2")
    shutil.copytree(modules / _MATHJAX / fonts, target / "mathjax3" / fonts)
    shutil.copy(modules / _MATHJAX / "tex-mml-chtml.js", target / "mathjax3")
    shutil.copy(modules / "mathjax" / "LICENSE", target / "mathjax3")
    # Speech for screen readers; MathJax loads these when a reader asks for them in its menu.
    # A macro such as \boldsymbol brings its extension when a page first uses it.
    for part in ("a11y", "sre", "input/tex/extensions"):
        shutil.copytree(modules / _MATHJAX / part, target / "mathjax3" / part)
    dist = modules / _WIDGETS / "dist"
    for path in [dist / "embed.js", dist / "embed.js.LICENSE.txt", *dist.glob("*.woff2"), *SCRIPTS.glob("*.js")]:
        shutil.copy(path, target)
