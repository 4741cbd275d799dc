"""`orthodx models`: what models and plug-ins there are, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orthodx.cli import exits
from orthodx.cli.options import A_JOINT, DEVICE, SEED, Debug, Json, further, print_json
from orthodx.joints import DEFAULT_JOINT
from orthodx.requests import Task
from orthodx.studies.readable import readable

app = typer.Typer(help="List, show and verify models.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of a shipped model, or a bundle folder.")]


def _say(line: str) -> None:
    print(readable(line), flush=True)  # calibrate takes minutes, and a pipe would keep its lines


@app.command("list", epilog=further("models list", "models"))
def list_models(json: Json = False, debug: Debug = False) -> None:
    """Shipped models, and the registered encoders and heads with where they come from."""
    with exits.handled(debug):
        from orthodx.bundles.bundle import open_bundle, shipped_names
        from orthodx.networks import ENCODERS, HEADS

        models = [open_bundle(name).info for name in shipped_names()]
        plugins = {r.kind: {n: r.origin(n) for n in r.names()} for r in (ENCODERS, HEADS)}
        if json:
            print_json({"models": [{"name": m.name, "version": m.version} for m in models], **plugins})
            return
        for m in models:
            tasks, views = ", ".join(m.tasks) or "encoders only", ", ".join(map(str, m.encoders))
            _say(f"model    {m.name} {m.version}  {m.joint.name}: {tasks}  ({views})")
        for kind, names in plugins.items():
            for name, origin in names.items():
                _say(f"{kind:8} {name}  from {origin}")


@app.command(epilog=further("models show knee-small", "models"))
def show(name: Name, debug: Debug = False) -> None:
    """The model card."""
    with exits.handled(debug):
        from orthodx.bundles.bundle import INFO, open_bundle

        bundle = open_bundle(name)
        card = bundle.path / "MODEL_CARD.md"
        text = (card if card.is_file() else bundle.path / INFO).read_text(encoding="utf-8", errors="replace")
        print(readable(text, keep="\t\n"))


@app.command(epilog=further("models verify knee-small", "models"))
def verify(name: Name, debug: Debug = False) -> None:
    """Check every part of a model: hash, tensor names, shapes, finite values."""
    with exits.handled(debug):
        from orthodx.bundles.bundle import open_bundle
        from orthodx.bundles.bundle import verify as check

        bundle = open_bundle(name)
        for line in check(bundle):
            _say(f"ok  {line}")


@app.command("import", epilog=further("models import sagittal=a.pt coronal=b.pt axial=c.pt --out published/", "models"))
def import_models(
    checkpoints: Annotated[
        list[str], typer.Argument(metavar="VIEW=FILE...", help="sagittal=a.pt coronal=b.pt axial=c.pt")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new bundle.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = f"published-{DEFAULT_JOINT.name}",
    debug: Debug = False,
) -> None:
    """Read released OrthoDiffusion checkpoints into a bundle; no code in them runs, every tensor is checked."""
    with exits.handled(debug):
        from orthodx.bundles.released import import_released
        from orthodx.errors import UsageError
        from orthodx.joints import View

        files: dict[View, Path] = {}
        for item in checkpoints:
            view, equals, path = item.partition("=")
            if not equals or view not in set(View) or View(view) in files:
                raise UsageError(f"'{item}' is not VIEW=FILE", hint="each of sagittal=, coronal=, axial= once")
            files[View(view)] = Path(path)
        bundle = import_released(files, out, name=name)
        _say(f"-> {bundle.path}  ({', '.join(map(str, files))})")


@app.command(epilog=further("models pack pre/sagittal pre/coronal pre/axial --out encoders/", "models"))
def pack(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished 'orthodx pretrain' runs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new bundle.")],
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "my-encoders",
    joint: Annotated[
        str | None, typer.Option(help=f"Of the scans: {A_JOINT}; else as the runs tell.", show_default=False)
    ] = None,
    model_version: Annotated[str, typer.Option(help="Version of the bundle.")] = "0.1.0",
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unstated",
    source: Annotated[list[str] | None, typer.Option(help="What they were trained on (repeatable).")] = None,
    debug: Debug = False,
) -> None:
    """Make a bundle of pretrained encoders, one run a view, with the record of each run."""
    with exits.handled(debug):
        from orthodx.bundles.pretrained import pack_pretrained
        from orthodx.joints import open_joint

        bundle = pack_pretrained(
            runs,
            out,
            name=name,
            joint=None if joint is None else open_joint(joint),
            version=model_version,
            licence=licence,
            sources=source or [],
        )
        _say(f"-> {bundle.path}  ({', '.join(map(str, bundle.info.encoders))})")


@app.command(epilog=further("models calibrate my-model/ cohort/ --out calibrated/", "models"))
def calibrate(
    name: Name,
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY...", help="Such as it is for, not trained on.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the new bundle.")],
    labels: Annotated[Path | None, typer.Option(help="Table of the truth; else labels.csv beside the studies.")] = None,
    ehr: Annotated[Path | None, typer.Option(help="Table of health records.")] = None,
    task: Annotated[
        Task | None, typer.Option(help="Only the masks, or only the answers; else both.", show_default=False)
    ] = None,
    specificity: Annotated[float, typer.Option(help="Least specificity of a threshold.")] = 0.9,
    device: Annotated[str, DEVICE] = "auto",
    seed: Annotated[int, SEED] = 0,
    debug: Debug = False,
) -> None:
    """Fit a model's flag for strange images, the quality of its masks and its thresholds to known studies."""
    with exits.handled(debug):
        from orthodx.trials.calibration import calibrate as fit

        about: dict[str, Any] = {"labels": labels, "ehr": ehr, "task": task, "specificity": specificity}
        bundle = fit(name, studies, out, **about, device=device, seed=seed, say=_say)
        _say(f"-> {bundle.path}  ({', '.join(bundle.info.familiarity)})")
