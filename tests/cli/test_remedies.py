from __future__ import annotations

from pathlib import Path

import pytest

from sftbench.cli.remedies import commands_without_hub


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["run", "-b", "x", "-w", "pretrained", "-s", "full"],
            [
                "sftbench run -b x -s full --weights pretrain:digits",
                "sftbench run -w pretrained -s full --backbone tf_efficientnet_lite0",
                "sftbench run -b x -s full --weights none",
            ],
        ),
        (
            ["run", "--backbone=x", "-ddigits", "--out", "my folder"],
            [
                (
                    "sftbench run --backbone=x -ddigits --out 'my folder' "
                    "--weights pretrain:fashion-mnist-mini"
                ),
                "sftbench run -ddigits --out 'my folder' --backbone tf_efficientnet_lite0",
                "sftbench run --backbone=x -ddigits --out 'my folder' --weights none",
            ],
        ),
        (
            ["run", "plan.toml"],
            [
                "sftbench run plan.toml --weights pretrain:digits",
                "sftbench run plan.toml --backbone tf_efficientnet_lite0",
                "sftbench run plan.toml --weights none",
            ],
        ),
    ],
)
def test_the_same_command_with_weights_that_can_be_had(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: list[str]
) -> None:
    monkeypatch.setenv("SFTBENCH_PLUGINS", "")
    found = commands_without_hub(arguments, "x")
    normal = [
        line.replace("--backbone x", "-b x").replace("-d digits", "-ddigits") for line in found
    ]
    assert [line.replace("--backbone=x", "-b x") for line in normal] == [
        line.replace("--backbone=x", "-b x") for line in expected
    ]


def test_the_target_of_a_plan_file_is_no_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTBENCH_PLUGINS", "")
    plan = tmp_path / "p.toml"
    plan.write_text('dataset = "digits"\n')

    found = commands_without_hub(["run", str(plan)], "x")

    assert found[0] == f"sftbench run {plan} --weights pretrain:fashion-mnist-mini"
