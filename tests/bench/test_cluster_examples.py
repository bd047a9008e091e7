"""The examples for clusters ask for parts that are there, and their keys are the command's."""

import re
from pathlib import Path

import pytest
import yaml

from motionkit.cli.bench import BenchConfig
from motionkit.table.bench import protocol
from motionkit.table.bench.shards import Shard

FOLDER = Path(__file__).parents[2] / "benchmarks" / "cluster"
FILES = sorted(FOLDER.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_its_commands_are_ones_that_the_verb_takes(path):
    text = path.read_text()
    ran = [line for line in text.splitlines() if not line.startswith("#")]
    words = re.findall(r"(?<![\w-])([a-z]+)=(\S+)", "\n".join(ran).partition("motionkit bench")[2])
    known = set(BenchConfig.__dataclass_fields__) | {"part", "name"}
    assert {key for key, _ in words} <= known and "shard" in dict(words) and "output" in dict(words)
    assert dict(words).get("bench", "sprites") in protocol.known()
    assert "motionkit bench merge" in text and "output=" in text.partition("motionkit bench merge")[2]


def test_each_pod_has_a_part_of_its_own():
    job = yaml.safe_load((FOLDER / "kubernetes.yaml").read_text())["spec"]
    command = job["template"]["spec"]["containers"][0]["args"][0]
    assert job["completionMode"] == "Indexed" and "shard=$((JOB_COMPLETION_INDEX + 1))/8 " in command
    parts = [Shard.read(f"{index + 1}/8") for index in range(job["completions"])]
    assert [part.number for part in parts] == list(range(1, 9)) and "\n" not in command.strip()


def test_what_was_not_validated_says_so_at_its_head():
    for path in FILES:
        head = path.read_text().splitlines()[:2]
        assert any("Not validated" in line for line in head) == (path.suffix == ".sh")
