"""A reader who follows the guides, block by block."""

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.support.servers.guide_site import Site, as_yaml
from tests.support.world.guides import Fence, steps

# References in guides are placeholders for the actual ones.
_REF = re.compile(r"\b(?:REQ-\d+|GR-[0-9A-Z]{4,}|(?:INC|CHG|TKT|TSK)-\d+)\b")


@dataclass
class Reader:
    """A reader who follows a guide in their own folder."""

    site: Site
    work: Path
    refs: dict[str, str] = field(default_factory=dict)

    def follow(self, fence: Fence) -> None:
        if "no-run" in fence.options:
            return
        if "job" in fence.options:
            self.site.run_job(fence.options["job"], self._here(fence.text), self.work)
        elif fence.language == "yaml":
            self._write(fence)
        elif fence.language == "json":
            json.loads(fence.text)
            if "file" in fence.options:
                (self.work / fence.options["file"]).write_text(self._here(fence.text), encoding="utf-8")
        elif fence.language == "sql":
            self._sql(fence)
        elif fence.language == "console":
            self._type(fence)

    def apply(self, *options: str) -> None:
        """Apply the files in the folder to the catalog."""
        command = " ".join(("python manage.py apply catalog", *options))
        self._run(command, "admin", 0, Fence("", 0, "console", {}, command))

    def _write(self, fence: Fence) -> None:
        """Write a document to the catalog.

        Keys for `over` an existing one make another document, planned at the end.
        """
        document = yaml.safe_load(fence.text)
        if over := fence.options.get("over"):
            path = Path(over).with_stem(f"{Path(over).stem}-of-line-{fence.line}")
            whole = yaml.safe_load((self.work / "catalog" / over).read_text(encoding="utf-8"))
            self._put("variants", path, {**whole, **document, "name": path.stem})
            return
        assert fence.file, f"{fence.place}: say which file it is, as in `# policies/web-work.yaml`"
        self._put("catalog", Path(fence.file), self.site.here(document))

    def _put(self, folder: str, file: Path, document: dict[str, object]) -> None:
        path = self.work / folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_yaml(document), encoding="utf-8")

    def plan_variants(self) -> None:
        """Plan all documents that change others, together, on top of the catalog."""
        if not (self.work / "variants").exists():
            return
        shutil.copytree(self.work / "catalog", self.work / "variants", dirs_exist_ok=True)
        self._run("python manage.py apply variants --plan", "admin", 0, Fence("", 0, "console", {}, ""))

    def _sql(self, fence: Fence) -> None:
        """Run it as the superuser of the shop's server, in the database that the block names."""
        (self.work / "block.sql").write_text(fence.text, encoding="utf-8")
        where = self.site.superuser(fence.options.get("database", "shop"))
        self._run(f"psql -v ON_ERROR_STOP=1 {where} -f block.sql", "admin", 0, fence)

    def _type(self, fence: Fence) -> None:
        status = int(fence.options.get("status", "0"))
        typed = list(steps(fence.text))
        assert typed, f"{fence.place}: a console has commands, behind `$ `"
        for number, step in enumerate(typed):
            last = number == len(typed) - 1
            command = self._here(step.command)
            said = self._run(command, fence.options.get("as", "priya"), status if last else 0, fence)
            self._compare(step.answer, said, fence)

    def _run(self, command: str, who: str, status: int, fence: Fence) -> str:
        done = self.site.run(command, who, self.work)
        assert done.returncode == status, f"{fence.place}: {command}\nstatus {done.returncode}\n{done.stdout}"
        return done.stdout

    def _here(self, text: str) -> str:
        for name, here in {**self.site.names, **self.refs}.items():
            text = text.replace(name, here)
        return text

    def _compare(self, answer: list[str], said: str, fence: Fence) -> None:
        """Find each line of the expected output, in order; `…` matches anything, and a new reference its
        actual value.
        """
        at = 0
        for line in answer:
            names: list[str] = []
            found = re.compile(self._pattern(line, names), re.MULTILINE).search(said, at)
            assert found, f"{fence.place}: “{line}” is not what is said:\n{said}"
            self.refs |= dict(zip(names, found.groups(), strict=True))
            at = found.end()

    def _pattern(self, line: str, names: list[str]) -> str:
        parts = []
        for text in re.split(f"({_REF.pattern}|…)", self._here(line).strip()):
            if text == "…":
                parts.append(".*?")
            elif _REF.fullmatch(text) and text not in self.refs.values() and text not in names:
                names.append(text)
                parts.append(rf"({text.partition('-')[0]}-[0-9A-Z]+)")
            else:
                # Columns are as wide as their contents.
                parts.append(r"\s+".join(re.escape(word) for word in re.split(r"\s+", text)))
        return rf"^\s*{''.join(parts)}\s*$"
