"""Jobs of GitHub Actions and GitLab CI, run like their runners do: with their variables, an OIDC token, and
their lines.
"""

import contextlib
import datetime as dt
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers.answering import answering
from tests.support.servers.issuer import Issuer
from tests.support.servers.outside import Outside, outside, tell_github, tell_gitlab

RELEASE = "v1.4"
Run = Callable[[str, dict[str, str]], subprocess.CompletedProcess[str]]


@dataclass
class CI:
    """The provider: ``source`` answers about jobs, ``issuer`` signs their tokens, ``tokens`` is GitHub's
    token endpoint.
    """

    source: Outside
    issuer: Issuer
    tokens: str

    def here(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return a trust policy with the provider's keys, or a source with the local address."""
        if "speaks_as" in document:
            document["keys"] = [key.as_dict(private=False) for key in self.issuer.keys]
        if document.get("provider") in ("github", "gitlab"):
            document["parameters"] |= {"url": self.source.url}
        return document

    def run(self, provider: str, text: str, work: Path, run: Run) -> None:
        """Run the only job of a file, except for what it installs."""
        document = yaml.safe_load(text)
        if provider == "github":
            tell_github(self.source, RELEASE)
            self._github(document["jobs"], work, run)
        else:
            tell_gitlab(self.source, RELEASE)
            self._gitlab(document, run)

    def _github(self, jobs: dict[str, Any], work: Path, run: Run) -> None:
        (job,) = jobs.values()
        kept = work / "github-env"
        kept.touch()
        for step in job["steps"]:
            if step["name"].startswith("Install"):
                continue
            env = {
                name: value.replace("${{ github.event.release.tag_name }}", RELEASE)
                for name, value in job["env"].items()
            }
            env |= dict(line.split("=", 1) for line in kept.read_text().splitlines())
            env |= {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.tokens}/token?v=1",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "the-runner's",
            }
            _succeeds(run(step["run"], env | {"GITHUB_ENV": str(kept)}))

    def _gitlab(self, document: dict[str, Any], run: Run) -> None:
        (job,) = document.values()
        (name,) = job["id_tokens"]
        claims = self.issuer.gitlab(dt.datetime.now(dt.UTC), iss="https://gitlab.com")
        env = {key: value.replace("$CI_COMMIT_TAG", RELEASE) for key, value in job["variables"].items()}
        _succeeds(run("\n".join(job["script"]), env | {name: self.issuer.sign(claims)}))


def _succeeds(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def ci() -> Iterator[CI]:
    """Yield a running provider."""
    issuer = Issuer()

    def token(_asked: object) -> tuple[int, dict[str, str], bytes]:
        claims = issuer.github(dt.datetime.now(dt.UTC), iss="https://token.actions.githubusercontent.com")
        return 200, {}, f'{{"value": "{issuer.sign(claims)}"}}'.encode()

    with outside() as source, answering(token) as port:
        yield CI(source, issuer, f"http://127.0.0.1:{port}")
