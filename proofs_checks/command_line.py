"""The command `altgrad` (the same as `python -m proofs_checks`)."""

from __future__ import annotations

import difflib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from experiments import NAMES, load
from experiments.experiment import Experiment
from proofs_checks import export, terminal
from proofs_checks.audit import READ, SAMPLE
from proofs_checks.audit import audit as audited
from proofs_checks.audit import results as audit_results
from proofs_checks.judgement import Judgement, differences, judge
from proofs_checks.runner import PROFILES, RECORD, Book, Processes, Run, Workers
from proofs_checks.store import FOLDER, Store
from reference.errors import AltgradError

if TYPE_CHECKING:
    from proofs_checks.mutation import Mutation

DIFFERS, BAD_USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

FIRST_STEPS = """\b
First steps:
  altgrad verify                 all statements on trial: some three minutes
  altgrad show G.3               one of them, with its counterexample
  altgrad report                 everything as a page for a reviewer
  altgrad plan --n 65536 --d 8 --bound 1
                                 whether the fast gradient pays at a size
Results are kept in .altgrad of this folder, and used again until the code
changes. "refuted" is said of what the paper prints; what repairs it is shown
with it."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    help="Checks every numbered statement of arXiv:2408.13233v2 and says what holds, with evidence.",
    epilog=FIRST_STEPS,
)


class Profile(StrEnum):
    """How much work a run does."""

    quick = "quick"
    standard = "standard"
    deep = "deep"


class ReportForm(StrEnum):
    """What a report is written as."""

    html = "html"
    markdown = "markdown"
    json = "json"


SUFFIXES = {ReportForm.html: "html", ReportForm.markdown: "md", ReportForm.json: "json"}


class FastMethod(StrEnum):
    """How the gradients are summed: `reference.fast_qkv`."""

    paper = "paper"
    antiderivative = "antiderivative"
    differentiate = "differentiate"


class Size(StrEnum):
    """How long an experiment takes."""

    small = "small"
    full = "full"


class Section(StrEnum):
    """A part of the audit."""

    planted = "planted"
    mutants = "mutants"
    hypotheses = "hypotheses"
    independence = "independence"
    slack = "slack"


Seed = Annotated[int, typer.Option(min=0, help="All draws follow from it: the same seed gives the same evidence.")]
RecordModule = Annotated[str, typer.Option("--record", hidden=True, help="Module that holds the record.")]


@app.command(short_help="Put statements on trial and print their verdicts.")
def verify(
    ids: Annotated[list[str] | None, typer.Argument(help="Statements to check, such as F.4; all if none.")] = None,
    profile: Annotated[Profile, typer.Option(help="300, 3,000 or 10,000 examples a check.")] = Profile.quick,
    json: Annotated[Path | None, typer.Option(help="Also write everything that was found to this file.")] = None,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = os.cpu_count() or 1,
    scheduler: Annotated[
        str, typer.Option(help="Dask scheduler whose workers share the work: its address, or `local` to start one.")
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Do all work again, whatever is stored.")] = False,
    record_baseline: Annotated[
        bool, typer.Option("--record-baseline", help="Make these verdicts the ones that later runs must equal.")
    ] = False,
    record: RecordModule = RECORD,
) -> None:
    """Check statements, print their verdicts, compare them with the recorded baseline.

    Exit status: 0 if every verdict equals the baseline, 1 if one differs, 2 for bad usage, 130 after Ctrl-C. What was
    finished before an interruption is kept; the next run goes on from there.
    """
    book = Book.open(record)
    chosen = _known(book, ids or list(book.statements))
    if record_baseline and len(chosen) < len(book.statements):
        _refuse("--record-baseline needs a run of all statements")
    if json is not None:
        _check_writable("--json", json)
    console = Console()
    run = Run(book, _store(), profile=profile, seed=seed, fresh=fresh)
    with _progress() as advance:
        try:
            with _workers(scheduler, jobs) as workers:
                run.execute(book.needed(chosen), workers, advance)
        except AltgradError as error:  # the scheduler's: checks turn theirs into results
            _refuse(f"{error}. What was finished is kept")
        except KeyboardInterrupt:
            Console(stderr=True).print("Interrupted. What was finished is kept: run the command again to go on.")
            raise typer.Exit(INTERRUPTED) from None
    judged, computed = judge(book, run), judge(book, run, recorded=False)
    shown = {id: judged[id] for id in chosen}
    terminal.print_verdicts(console, shown.values())
    console.print()
    terminal.print_findings(console, shown.values(), book.statements)
    console.print()
    terminal.print_recorded(console, shown.values())
    terminal.print_failures(console, shown.values())
    terminal.print_counts(console, shown.values())
    if json is not None:
        export.write_results(json, shown, run)
    if record_baseline:
        if any(j.failures for j in judged.values()):
            _refuse("--record-baseline needs a run in which no check failed")
        console.print(f"recorded as the {profile} baseline: {export.record_baseline(computed, profile)}")
        return
    lines = differences(computed, export.load_baseline(profile), tuple(chosen))
    for line in lines:
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if lines:
        raise typer.Exit(DIFFERS)
    console.print(f"Every verdict equals the recorded baseline ({profile}, seed {seed}).", highlight=False)


@contextmanager
def _workers(scheduler: str, jobs: int) -> Iterator[Workers]:
    """Processes here, or the workers of a scheduler; Dask is loaded only for these."""
    if not scheduler:
        yield Processes(jobs)
        return
    try:
        from proofs_checks.cluster import cluster  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        _refuse(f"--scheduler needs {error.name}: pip install 'altgrad[cluster]'")
    with cluster(scheduler, jobs) as workers:
        yield workers


@app.command(short_help="Try to fool the suite, and say whether that worked.")
def audit(
    ids: Annotated[list[str] | None, typer.Argument(help="Statements whose checks to audit; all if none.")] = None,
    profile: Annotated[Profile, typer.Option(help="20, 100 or 400 mutants; the checks as verify runs them.")] = (
        Profile.quick
    ),
    only: Annotated[list[Section] | None, typer.Option(help="This part of the audit; may be repeated.")] = None,
    mutants: Annotated[int | None, typer.Option(min=1, help="How many mutants; beyond their number: all.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write all figures to this file.")] = None,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the work.")] = os.cpu_count() or 1,
    record: RecordModule = RECORD,
) -> None:
    """Try to fool the suite: false statements, changed code, empty hypotheses, borrowed truth, loose bounds.

    Exit status: 0 if it cannot be fooled, 1 if it can (it says how), 2 for bad usage, 130 after Ctrl-C. What was
    finished before an interruption is kept.
    """
    book = Book.open(record)
    chosen = _known(book, ids or list(book.statements))
    sections = {str(section) for section in only or Section}
    if json is not None:
        _check_writable("--json", json)
    if "mutants" in sections and not find_spec("cosmic_ray"):
        _refuse("the mutants need the extra `audit`: pip install 'altgrad[audit]'; or leave them out by --only")
    run = Run(book, _store(), profile=profile, seed=seed)
    try:
        if READ.intersection(sections):
            with _progress() as advance:
                run.execute(chosen, Processes(jobs), advance)
        with _progress() as advance:
            size = mutants or SAMPLE[profile]
            mutation = _mutated(book, run.store, size, jobs, seed, advance) if "mutants" in sections else None
    except KeyboardInterrupt:
        Console(stderr=True).print("Interrupted. What was finished is kept: run the command again to go on.")
        raise typer.Exit(INTERRUPTED) from None
    found = audited(run, chosen, mutation, sections)
    terminal.print_audit(Console(), found, profile)
    if json is not None:
        export.write(json, audit_results(found, run))
    if found.faults(profile):
        raise typer.Exit(DIFFERS)


def _mutated(book: Book, store: Store, size: int, jobs: int, seed: int, advance: Any) -> Mutation:
    """A sample of mutants and what became of them; cosmic-ray is loaded only here."""
    from proofs_checks import mutation  # noqa: PLC0415  # not every installation has it

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # ends the processes that try mutants, too
    sample = list(islice(mutation.mutants(mutation.SUITES, seed), size))
    return mutation.mutate(book, store, sample, jobs, seed, advance)


@app.command(short_help="Show all that is known of one statement.")
def show(
    id: Annotated[str, typer.Argument(help="A statement, such as G.3.")],
    seed: Seed = 0,
    record: RecordModule = RECORD,
) -> None:
    """Show all that is known of one statement: formulas, verdict, evidence, counterexample, what depends on it."""
    book = Book.open(record)
    (chosen,) = _known(book, [id])
    runs = [Run(book, Store(), profile=profile, seed=seed) for profile in reversed(PROFILES)]
    best = min(runs, key=lambda run: run.missing(chosen))
    judged = judge(book, best)
    terminal.print_statement(Console(), judged[chosen], book.statements, seed)
    terminal.print_hypotheses(Console(), chosen, judged)


@app.command(short_help="Write what verify found as a page for reviewers.")
def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; else altgrad-report.html, .md or .json.")
    ] = None,
    form: Annotated[
        ReportForm, typer.Option("--format", help="A page, text for a review form, or what verify --json writes.")
    ] = ReportForm.html,
    against: Annotated[
        Path | None, typer.Option(help="Also show what changed since these results, of verify --json.")
    ] = None,
    profile: Annotated[Profile, typer.Option(help="Whose results to show.")] = Profile.quick,
    seed: Seed = 0,
    record: RecordModule = RECORD,
) -> None:
    """Write one file for reviewers from what verify left: verdicts, findings, dependencies, all evidence.

    The page needs no network. Nothing is checked again here. The schema of JSON is proofs_checks/verify.schema.json.
    """
    path = output or Path(f"altgrad-report.{SUFFIXES[form]}")
    _check_writable("--output", path)
    if against is not None and form == ReportForm.json:
        _refuse("--against goes with --format html or markdown: JSON holds the results of one run")
    with _refusals():
        write = export.write_results if form == ReportForm.json else _written(form, against)
    book = Book.open(record)
    run = Run(book, _store(), profile=profile, seed=seed)
    judged = judge(book, run)
    if not any(j.evidence for j in judged.values()):
        _refuse(f"there are no fresh results of profile {profile} and seed {seed}: run altgrad verify first")
    write(path, judged, run)
    Console().print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)


def _written(form: ReportForm, against: Path | None) -> Callable[[Path, dict[str, Judgement], Run], None]:
    """What writes the report as HTML or Markdown: it is an extra, and loaded only here."""
    from proofs_checks import comparison, report  # noqa: PLC0415

    old = None if against is None else comparison.load(against)
    make = report.markdown if form == ReportForm.markdown else report.html

    def write(path: Path, judged: dict[str, Judgement], run: Run) -> None:
        path.write_text(make(judged, run, old), encoding="utf-8")

    return write


@app.command(short_help="Fast gradients of your own matrices, with bounds.")
def certify(
    file: Annotated[Path, typer.Argument(help="X, W, W_V, G or Q, K, V, G: an .npz, or a folder of .npy files.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to; else FILE-certified.npz beside it.")
    ] = None,
    rtol: Annotated[float, typer.Option(help="The relative error of each attention weight.")] = 0.01,
    scale: Annotated[float | None, typer.Option(help="Of the scores; else 1/d.")] = None,
    causal: Annotated[bool, typer.Option("--causal", help="Row i sees the rows up to i.")] = False,
    method: Annotated[FastMethod, typer.Option(help="How gradients are summed.")] = FastMethod.antiderivative,
    compare: Annotated[
        bool | None, typer.Option("--compare/--no-compare", help="With exact attention; else where n is small.")
    ] = None,
) -> None:
    """Approximate output and gradients for your own matrices, each entry with a bound on its error, as an .npz.

    Exit status: 0 if no error that was seen is above its bound, 1 if one is, 2 for input that is refused, 130 after
    Ctrl-C, which leaves no file.
    """
    from proofs_checks import certify as certificates  # noqa: PLC0415  # the other commands need none of it
    from proofs_checks.matrices import load  # noqa: PLC0415

    path = output or file.with_name(f"{file.stem}-certified.npz")
    _check_writable("--output", path)
    if path.exists() and file.exists() and path.samefile(file):
        _refuse(f"--output {path}: needs another name than the input")
    settings: dict[str, Any] = {"rtol": rtol, "scale": scale, "causal": causal, "method": str(method)}
    with _refusals(), _progress("certifying") as advance:
        matrices = load(file, "certify")
        exact = certificates.scores_of(matrices) <= certificates.AFFORDABLE if compare is None else compare
        found = certificates.certify(matrices, compare=exact, advance=advance, **settings)
        certificates.save(found, path, **{name: value for name, value in settings.items() if value is not None})
    console = Console()
    certificates.show(found, console)
    console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)
    if not found.holds:
        raise typer.Exit(DIFFERS)


@app.command(short_help="Say whether the approximation pays at a size.")
def plan(
    n: Annotated[int | None, typer.Option(help="Rows.")] = None,
    d: Annotated[int | None, typer.Option(help="Width of a head.")] = None,
    heads: Annotated[int | None, typer.Option(help="Heads; 1 unless given.")] = None,
    bound: Annotated[float | None, typer.Option(help="No score is larger.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="Measure these: X, W, W_V or Q, K, V, as for certify.")
    ] = None,
    rtol: Annotated[float, typer.Option(help="The relative error of each attention weight.")] = 0.01,
    scale: Annotated[float | None, typer.Option(help="Of the scores of --from; else 1/d.")] = None,
    method: Annotated[FastMethod, typer.Option(help="How gradients are summed.")] = FastMethod.antiderivative,
    time: Annotated[bool, typer.Option("--time/--no-time", help="Measure this machine for a few seconds.")] = True,
    picture: Annotated[Path | None, typer.Option(help="Draw where it pays, over n and the bound.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Say whether the approximation pays at some size, from which n on, and what it costs.

    Exit status: 0, or 2 for input that is refused.
    """
    from proofs_checks import plan as plans  # noqa: PLC0415  # the other commands need none of it
    from proofs_checks.matrices import load  # noqa: PLC0415

    given = {"--n": n, "--d": d, "--bound": bound}
    if source is not None and any(value is not None for value in (*given.values(), heads)):
        _refuse("--from measures n, d, heads and the bound: leave --n, --d, --heads and --bound out")
    missing = [name for name, value in given.items() if value is None]
    if source is None and missing:
        _refuse(f"plan needs {', '.join(missing)}, or --from FILE")
    if picture is not None:
        _check_writable("--picture", picture)
        if picture.suffix != ".svg":
            _refuse(f"--picture {picture}: needs a name that ends in .svg")
    plain = None
    with _refusals():
        size: dict[str, Any] = {"n": n, "d": d, "heads": 1 if heads is None else heads, "bound": bound}
        if source is not None:
            size = plans.measured(load(source, "plan", cotangent=False), scale)._asdict()
            plain = size.pop("plain")
        setting = plans.Setting(**size, rtol=rtol, method=method.value)
        found = plans.plan(setting, plans.calibrate(setting) if time and not plans.obstacle(setting) else None)
        if picture is not None:
            plans.picture(setting, picture)
    if json:
        typer.echo(plans.as_json(found, plain))
    else:
        plans.show(found, plain, Console())


@app.command(short_help="Run an experiment on the authors' claims.")
def reproduce(
    name: Annotated[str, typer.Argument(help="One of: " + ", ".join(NAMES) + ".")],
    size: Annotated[Size, typer.Option(help="Seconds, or some minutes.")] = Size.small,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for data, plot and page.")] = Path(
        "altgrad-experiments"
    ),
    seed: Seed = 0,
    record: RecordModule = RECORD,
) -> None:
    """Run an experiment on what the paper's authors told their reviewers: a table, data, a plot, a page."""
    chosen = _experiment(name)
    try:
        from proofs_checks import reproduce as runs  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        _refuse(f"reproduce needs {error.name}: pip install 'altgrad[experiments]'")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _refuse(f"--output {output}: needs the name of a folder ({error.strerror})")
    try:
        found = runs.reproduce(chosen, "small" if size == Size.small else "full", seed)
    except AltgradError as error:
        _refuse(str(error))
    console = Console()
    console.print(runs.terminal(chosen, found["rows"]))
    for path in runs.write(chosen, found, output, Book.open(record).statements.values()):
        console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)


def _experiment(name: str) -> Experiment:
    """The experiment of that name; others are refused with what there is, as is one whose packages are missing."""
    if name not in NAMES:
        _refuse(f"no experiment {name!r}; there are {', '.join(NAMES)}")
    chosen = load(name)
    missing = [module for module in chosen.needs if not find_spec(module)]
    if missing:
        _refuse(f"{name} needs {', '.join(missing)}: pip install 'altgrad[experiments]'")
    return chosen


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode still gets the verdicts
    app(prog_name="altgrad")


def _known(book: Book, ids: list[str]) -> list[str]:
    """The ids in the order of the record, whatever their case; unknown ones are refused with suggestions."""
    by_fold = {id.casefold(): id for id in book.statements}
    for id in ids:
        if id.casefold() not in by_fold:
            close = difflib.get_close_matches(id.casefold(), by_fold, n=3, cutoff=0.5)
            hint = f"; did you mean {', '.join(by_fold[c] for c in close)}?" if close else ""
            _refuse(f"no statement {id!r}{hint}")
    wanted = {by_fold[id.casefold()] for id in ids}
    return [id for id in book.statements if id in wanted]


def _check_writable(option: str, path: Path) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir():
        _refuse(f"{option} {path}: needs the name of a file in a folder that exists")


@contextmanager
def _refusals() -> Iterator[None]:
    """What the library refuses is bad usage; so are files that cannot be written, and an extra that is missing."""
    try:
        yield
    except AltgradError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.filename or 'the file'}: {error.strerror}")
    except ModuleNotFoundError as error:
        _refuse(f"this needs {error.name}: pip install 'altgrad[report]'")
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _refuse(message: str) -> NoReturn:
    Console(stderr=True).print(f"altgrad: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(BAD_USAGE)


def _store() -> Store:
    store = Store()
    try:
        store.prepare()
    except OSError as error:
        _refuse(f"cannot keep results in {FOLDER}: {error.strerror}")
    return store


@contextmanager
def _progress(doing: str = "checking") -> Iterator[Any]:
    """A bar on standard error that disappears when the work is done; nothing where that is not a terminal."""
    columns = TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
