"""What runs at GitHub: actions that cannot be exchanged, and no more rights than a job needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
ONLY_REQUESTS = "${{ github.event_name == 'pull_request' }}"
#: Action -> permission without which it fails.
NEEDED = {
    "actions/configure-pages": ("pages", ("read", "write")),
    "actions/deploy-pages": ("pages", ("write",)),
}


def steps(workflow: dict[str, Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(action without its version, step, job) for every step; the name is empty for a command."""
    return [
        (step.get("uses", "").partition("@")[0], step, job)
        for job in workflow["jobs"].values()
        for step in job["steps"]
    ]


def breaches(text: str) -> list[str]:
    """The rules that a workflow breaks."""
    workflow = yaml.safe_load(text)
    found = [
        f"not a commit with its version: {line.strip()}"
        for line in text.splitlines()
        if "uses:" in line and not PINNED.search(line)
    ]
    if "pull_request_target" in text:
        found.append("code of others runs with rights: pull_request_target")
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("more than reading by default")
    if workflow["concurrency"]["cancel-in-progress"] not in (False, ONLY_REQUESTS):
        found.append("a newer push ends what is being published")
    for action, step, job in steps(workflow):
        given = job.get("permissions", workflow.get("permissions", {}))
        keeps = step.get("with", {}).get("persist-credentials", True)
        if action == "actions/checkout" and keeps is not False:
            found.append("credentials are left in the checkout")
        if action in NEEDED:
            name, allowed = NEEDED[action]
            if given.get(name) not in allowed:
                found.append(f"{action} lacks {name}: {allowed[0]}")
        if action == "actions/deploy-pages":
            if job.get("concurrency", {}).get("cancel-in-progress") is not False:
                found.append("a newer job ends the publishing")
        if "write" in given.values() and step.get("run"):
            found.append("a command runs with the right to write")
        if re.search(r"\$\{\{\s*github\.(event|head_ref)", step.get("run", "")):
            found.append("a command holds text that others write")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_keep_the_rules(path: Path) -> None:
    assert breaches(path.read_text("utf-8")) == []


CONTROLS = {
    (r"checkout@[0-9a-f]{40}  # v4\.2\.2", "checkout@v4"): "not a commit",
    (r"  # v5\.6\.0", ""): "not a commit",
    (r"persist-credentials: false", "fetch-depth: 1"): "credentials are left",
    (r"  contents: read", "  contents: write"): "more than reading",
    (r"pages: write", "contents: read"): "configure-pages lacks pages",
    (r"cancel-in-progress: false", "cancel-in-progress: true"): "ends the publishing",
    (r"cancel-in-progress: \$.*", "cancel-in-progress: true"): "ends what is being published",
    (r"  pull_request:", "  pull_request_target:"): "pull_request_target",
    (r"run: make test", 'run: echo "${{ github.event.head_commit.message }}"'): "others write",
}


@pytest.mark.parametrize(("change", "said"), CONTROLS.items(), ids=CONTROLS.values())
def test_every_rule_can_be_broken(change: tuple[str, str], said: str) -> None:
    text = (ROOT / ".github" / "workflows" / "book.yml").read_text("utf-8")
    changed = re.sub(*change, text)
    assert changed != text
    assert any(said in breach for breach in breaches(changed))


def test_dependabot_looks_after_actions_and_packages() -> None:
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text("utf-8"))
    assert config["version"] == 2
    found = {u["package-ecosystem"]: u["directory"] for u in config["updates"]}
    assert found == {"github-actions": "/", "pip": "/"}


def test_who_finds_a_weakness_reads_where_to_say_so() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    assert "Report a vulnerability" in text and "Supported versions" in text
