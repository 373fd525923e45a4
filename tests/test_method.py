"""How nerfstudio finds us, and what it shows of our options."""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml
from nerfstudio.plugins.types import MethodSpecification

from dff.data.datamanager import DFFDataManagerConfig
from dff.errors import DffError
from dff.method import dff_method
from dff.model import DFFModel, DFFModelConfig
from dff.pipeline import DFFPipeline, DFFPipelineConfig
from dff.schedules import ExponentialDecayConfig
from dff.trainer import DFFTrainer, DFFTrainerConfig

OURS = [
    DFFModelConfig,
    DFFDataManagerConfig,
    DFFPipelineConfig,
    DFFTrainerConfig,
    ExponentialDecayConfig,
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_every", 0),
        ("feature_every", -2),
        ("feature_warmup", -5),
        ("feature_samples_per_ray", 0),
        ("opacity_warmup", -1),
        ("eval_finer", 0),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_read(name, value):
    config = copy.deepcopy(dff_method.config)
    setattr(config.pipeline.model, name, value)
    with pytest.raises(DffError, match=f"{name.replace('_', '-')} must be at least .*{value}"):
        config.pipeline.setup(device="cpu", test_mode="val")


def test_the_entry_point_gives_the_method():
    (found,) = entry_points(group="nerfstudio.method_configs", name="dff")
    loaded = found.load()
    assert isinstance(loaded, MethodSpecification)
    assert loaded.config.method_name == "dff"
    assert loaded.description.strip()


def test_nerfstudio_lists_the_method():
    from nerfstudio.configs.method_configs import all_descriptions, all_methods

    assert "dff" in all_methods
    assert all_descriptions["dff"]


def test_the_configuration_leads_to_our_classes():
    config = dff_method.config
    assert config._target is DFFTrainer
    assert config.pipeline._target is DFFPipeline
    assert config.pipeline.model._target is DFFModel


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.__name__)
def test_every_option_says_what_it_is(kind):
    (tree,) = ast.parse(inspect.getsource(kind)).body
    undocumented = []
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and statement.target.id != "_target":
            said = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if not said or not str(following.value.value).strip():
                undocumented.append(statement.target.id)
    assert undocumented == []
    assert ast.get_docstring(tree)


def test_every_parameter_group_has_an_optimizer_with_a_decaying_rate():
    groups = dff_method.config.optimizers
    assert set(groups) == {"proposal_networks", "fields", "feature_field", "camera_opt"}
    for group in groups.values():
        assert group["scheduler"].lr_final < group["optimizer"].lr


def test_rates_decay_over_the_length_of_the_run_unless_told(monkeypatch):
    import copy

    config = copy.deepcopy(dff_method.config)
    config.max_num_iterations = 77
    config.optimizers["fields"]["scheduler"].max_steps = 5
    monkeypatch.setattr(DFFTrainer, "__init__", lambda self, config, **more: None)
    config.setup()
    assert config.optimizers["fields"]["scheduler"].max_steps == 5
    assert config.optimizers["feature_field"]["scheduler"].max_steps == 77
    assert dff_method.config.optimizers["feature_field"]["scheduler"].max_steps is None


def test_the_configuration_survives_the_way_through_its_file():
    written = yaml.dump(dff_method.config)
    read = yaml.load(written, Loader=yaml.Loader)
    assert dataclasses.asdict(read.pipeline.model) == dataclasses.asdict(
        dff_method.config.pipeline.model
    )


def test_our_options_appear_in_the_help(capsys):
    import tyro
    from nerfstudio.configs.method_configs import AnnotatedBaseConfigUnion

    with pytest.raises(SystemExit) as raised:
        tyro.cli(AnnotatedBaseConfigUnion, args=["dff", "--help"])
    assert raised.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--pipeline.model.feature-samples-per-ray" in shown
    assert "--pipeline.datamanager.feature-cache" in shown
    assert "--pipeline.teachers" in shown


@pytest.mark.slow
def test_nerfstudios_own_command_says_in_one_line_what_is_wrong(tmp_path):
    command = Path(sys.executable).parent / "ns-train"
    done = subprocess.run(
        [command, "dff", "--data", tmp_path / "nothing", "--output-dir", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "no such capture" in errors[0]
    assert "Traceback" not in done.stderr + done.stdout
