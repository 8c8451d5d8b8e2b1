"""The steps in which a pipeline deploys a release to a Kubernetes cluster, with a real kubectl."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

from broker.demo.means import Means, expect, said
from broker.demo.release_catalog import CLUSTER, SOURCE

_RUN, _RELEASE = "run-77", "v1.4.2"
_EXEC = ("exec", "web-1", "-c", "app", "--", "sleep", "1000")


class Releasing(Means):
    """The release steps of the demo."""

    def pipeline_asks(self) -> str:
        self.pipelines.begin(_RUN, _RELEASE)
        self.request = self.cast.releaser.post(
            "/requests",
            {
                "cluster": CLUSTER,
                "command_set": "release-web",
                "duration": 600,
                "workflow": f"{SOURCE}:{_RUN}",
            },
        )
        expect(self.request["state"] == "approved", f"the request is {self.request['state']}")
        self.grant = self.wait_for(
            lambda found: found["state"] == "active", within=20, whose=self.cast.releaser
        )
        expect(self.grant["parameters"] == {"release": _RELEASE}, str(self.grant["parameters"]))
        made = self.cast.releaser.post(f"/grants/{self.grant['ref']}/credential", {})["values"]
        self.kubeconfig.write_text(made["Kubeconfig"], encoding="utf-8")
        return (
            f"the Kubernetes API is simulated; kubectl is real\n{self.grant['ref']} allows release"
            f" {_RELEASE}, the one of {_RUN}; its kubeconfig contains no secret"
        )

    def releases(self) -> str:
        before = self.kube.image()
        other = self.kubectl(*_set_image("v1.4.3"))
        expect(other.returncode == 1 and f"must be `{_image(_RELEASE)}`" in other.stderr, said(other))
        expect(self.kube.image() == before, f"the image is {self.kube.image()}")
        own = self.kubectl(*_set_image(_RELEASE))
        expect(own.returncode == 0 and self.kube.image() == _image(_RELEASE), said(own))
        return (
            f"$ kubectl {' '.join(_set_image('v1.4.3'))}\n{other.stderr.strip()}\n"
            f"$ kubectl {' '.join(_set_image(_RELEASE))}\n{own.stdout.strip()}"
        )

    def release_done(self) -> str:
        with (
            subprocess.Popen(
                self.kube.command(self.kubeconfig, *_EXEC),
                env=self.kube.environment(self.cast.releaser.token),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            ) as running,
            contextlib.ExitStack() as stack,
        ):
            stack.callback(running.kill)
            process = self.kube.find_process("sleep", "1000", within=15)
            expect(process is not None, "the command did not start in the container")
            watch = os.pidfd_open(process or 0)
            stack.callback(os.close, watch)
            began = time.monotonic()
            self.pipelines.finish(_RUN)
            over, _, _ = select.select([watch], [], [], 10)
            took = time.monotonic() - began
            expect(bool(over) and took < 2, f"the process in the container kept running for {took:.1f} s")
            _, printed = running.communicate(timeout=10)
        ended = self.wait_for(lambda found: found["state"] == "ended", within=20, whose=self.cast.releaser)
        expect(ended["end_reason"] == "workflow_closed", f"the grant ended because of {ended['end_reason']}")
        receipt = self.cast.releaser.get(f"/grants/{ended['ref']}/receipt")
        expect(all(lease["gone"] for lease in receipt["checked"]), f"not confirmed: {receipt['checked']}")
        # kubectl logs the reason before it prints it, so only the last line is shown.
        return (
            f"$ kubectl {' '.join(_EXEC)}\n{printed.strip().splitlines()[-1]}\nprocess {process} in the"
            f" container ended {took * 1000:.0f} ms after {_RUN} was done; the grant's account was deleted"
        )

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "releaser-kubeconfig.json"

    def kubectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run kubectl with the grant's kubeconfig as the pipeline."""
        return subprocess.run(
            self.kube.command(self.kubeconfig, *words),
            env=self.kube.environment(self.cast.releaser.token),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )


def _set_image(release: str) -> tuple[str, ...]:
    return "set", "image", "deployment/web", f"app={_image(release)}"


def _image(release: str) -> str:
    return f"registry.example/web:{release}"
