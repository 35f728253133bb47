"""Join small JavaScript modules into one plain script.

The modules of `book/live/` import from one another, which a page may do that comes from a web server. A page that is
opened from a folder on disk may not: browsers refuse modules there. So the build puts the modules one after the other,
each after those that it imports from. Each becomes a function that gives what the module exports, so that two modules
may use one name for two things, as before. For example

    import { iou } from "./scores.js";    ->    const { iou } = module_scores;
    export function best() {}             ->    function best() {}    and, at the end,    return { best };
"""

from __future__ import annotations

import re
from pathlib import Path

from .layout import BuildError

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|const|class)) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entry: Path) -> str:
    """The script of a module and all that it imports from.

    Raises:
        BuildError: a module that is not there, imports in a circle, or an `import` or `export` in a form that is not
            known here.
    """
    modules: dict[str, str] = {}
    _collect(entry, modules, ())
    return '"use strict";\n' + "\n".join(modules.values())


def _collect(path: Path, modules: dict[str, str], importing: tuple[str, ...]) -> None:
    """Add a module, after those that it imports from."""
    if path.stem in importing:
        raise BuildError(f"{path.name} and {importing[-1]}.js import from each other")
    if path.stem in modules:
        return
    if not path.is_file():
        raise BuildError(f"{importing[-1] if importing else 'the page'} imports from {path.name}, which is not there")
    text = path.read_text(encoding="utf-8")
    for _, name in _IMPORT.findall(text):
        _collect(path.parent / f"{name}.js", modules, (*importing, path.stem))
    exported = [name for _, name in _EXPORT.findall(text)]
    text = _EXPORT.sub(r"\1 \2", _IMPORT.sub(r"const \1 = module_\2;", text))
    if left := _LEFT.search(text):
        raise BuildError(f'{path.name}: cannot join `{left.group()}`; write `import {{ name }} from "./file.js";`')
    modules[path.stem] = f"const module_{path.stem} = (() => {{\n{text}\nreturn {{ {', '.join(exported)} }};\n}})();\n"
