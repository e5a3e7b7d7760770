"""The command line: ``python -m landscape`` = ``landscape``.

``--json`` prints one JSON value on the last line of stdout; everything else goes to stderr. Exit status: 0 done, 1 the
request failed (with a message), 2 bad usage, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from landscape import ROOT, __version__, calibrate_command, catalog, configuration, inspect_command, open_command, sharing
from landscape.data import own_files
from landscape.errors import BadInput, LandscapeError, StoreError
from landscape.figures import truth
from landscape.runs import Jobs, Library, archive
from landscape.runs.home import Lock, holder, home_of, made, unwritable
from landscape.runs.records import identify
from landscape.shell import agreed, finished, print_json, say, setting, with_engine

app = typer.Typer(
    help="Loss Valleys: every point of a loss surface is a network you can open.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Home = Annotated[Path | None, typer.Option("--home", help="Folder of the store (default: LANDSCAPE_HOME).")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on the last line.")]
Yes = Annotated[bool, typer.Option("--yes", help="Start a run that takes long without being asked (LANDSCAPE_ASK_ABOVE).")]
Key = Annotated[str, typer.Argument(help="Key of a run, or its first four characters or more.")]


@app.command("app")
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    scheduler: Annotated[str | None, typer.Option(help="Address of an existing Dask scheduler.")] = None,
    home: Home = None,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    host: Annotated[str | None, typer.Option(help="Open the app to other people at this address (LANDSCAPE_OPEN): needs a "
                                                  "login and more, see docs/operations.md.")] = None,
) -> None:
    """Open the app in a browser."""
    if host:
        os.environ["LANDSCAPE_OPEN"] = host
    sharing.check()
    shared = sharing.sharing()
    at = shared.address if shared else "127.0.0.1"
    folder, url = made(home_of(home)), f"https://{shared.hosts[0]}" if shared else f"http://localhost:{port}"
    lock = _lock_of_servers(folder, url)
    try:
        _try_port(at, port)
    except BadInput:
        if lock is not None:
            lock.release()
        raise
    environment = {**os.environ, "LANDSCAPE_HOME": str(folder)}
    if scheduler:
        environment["LANDSCAPE_SCHEDULER"] = scheduler
    if lock is not None:
        jobs = Jobs(folder, scheduler)
        if jobs.renew():
            say("The engine was running with other settings (factories, folders, limits): another takes its place.")
        jobs.resume()
        os.set_inheritable(lock.fd, True)  # the server keeps the lock for as long as it lives
    options = {
        "server.address": at if shared else "localhost",
        "server.port": port,
        "server.headless": str(not browser or shared is not None).lower(),
        "server.maxUploadSize": sharing.max_upload(),
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    if shared:
        options["secrets.files"] = sharing.secrets_file()
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    say(f"Loss Valleys at {url}, store in {folder}. Ctrl-C stops the server" + ("; runs go on." if lock else "."))
    os.execve(sys.executable, [*command, *(f"--{name}={value}" for name, value in options.items())], environment)


def _lock_of_servers(folder: Path, url: str) -> Lock | None:
    """What lets one server show a store; None where it cannot be written: any number may look at it. Raises StoreError."""
    if why := unwritable(folder):
        say(why)
        return None
    lock = Lock.take(folder / "server.lock", {"url": url})
    if lock is None:
        other = holder(folder / "server.lock") or {}
        raise StoreError(
            f"The store {folder} is already shown at {other.get('url', 'another port')} (process "
            f"{other.get('pid', 'unknown')}). Open that, stop it, or choose another store with --home."
        )
    return lock


def _try_port(address: str, port: int) -> None:
    """Raises BadInput if nobody can listen there."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as error:
        raise BadInput(f"Port {port} cannot be used at {address}: {error.strerror}. Choose another with --port.") from None


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help=f"One of: {', '.join(catalog.RECIPES)}.")],
    given: Annotated[list[str] | None, typer.Option("--set", help="A setting, name=value; repeat for more.")] = None,
    as_json: Json = False,
    yes: Yes = False,
    home: Home = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of an existing Dask scheduler.")] = None,
) -> None:
    """Compute a run, or go on with it. The same settings are computed once. What it will cost is said first."""
    if scheduler:
        os.environ["LANDSCAPE_SCHEDULER"] = scheduler
        Jobs(home).renew()
    wanted = identify(recipe, dict(setting(text) for text in given or []))
    agreed(wanted, home, yes)
    library, ended = finished(wanted, home, with_engine)
    summary = library.result(ended.key, "summary")
    values = summary.values if summary else {"key": ended.key, "results": library.names(ended.key)}
    trainings = truth.trainings(library, ended)
    values |= {"rounding": {name: info["rounding"] for name, info in trainings.items()}} if trainings else {}
    if as_json:
        print_json(values)
    else:
        print(
            f"{ended.title}: run {ended.key} is done ({ended.cpu_seconds:.1f} CPU seconds). Results: "
            f"{', '.join(library.names(ended.key))}"
        )
        for sentence in (*(info["rounding"]["said"] for info in trainings.values()), *values.get("said", ())):
            print(sentence)


app.command("inspect")(inspect_command.inspect)
app.command("calibrate")(calibrate_command.calibrate)
app.command("open")(open_command.open_network)
app.command("keep")(open_command.keep)


@app.command()
def runs(
    recipe: Annotated[str | None, typer.Option(help="Only runs of this recipe.")] = None,
    status: Annotated[str | None, typer.Option(help="Only queued, running, done, cancelled or failed ones.")] = None,
    search: Annotated[str, typer.Option(help="Words in title, key or settings.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also runs made for other runs.")] = False,
    as_json: Json = False,
    home: Home = None,
) -> None:
    """List what was computed and what is running."""
    library = Library(home)
    found = library.runs(recipe, status, search, everything)
    if as_json:
        print_json([asdict(each) | {"bytes": library.size(each.key)} for each in found])
        return
    for each in found:
        created = datetime.datetime.fromtimestamp(each.created).strftime("%Y-%m-%d %H:%M")
        print(f"{each.key:<24}  {each.status:<9}  {created}  {_size(library.size(each.key)):>9}  {each.title}")
    say(f"{len(found)} runs; the store {library.home} takes {_size(library.total_size())}.")


@app.command()
def show(key: Key, as_json: Json = False, home: Home = None) -> None:
    """Say everything known about a run."""
    library = Library(home)
    found = library.run(key)
    summary, progress = library.result(found.key, "summary"), library.progress(found.key)
    known = asdict(found) | {
        "bytes": library.size(found.key),
        "results": library.names(found.key),
        "weights": library.weight_names(found.key),
        "progress": asdict(progress) if progress else None,
        "attempts": library.attempts(found.key),
        "detail": library.detail(found.key),
        "summary": summary.values if summary else None,
        "rounding": {name: info["rounding"] for name, info in truth.trainings(library, found).items()},
    }
    if as_json:
        print_json(known)
        return
    for name, value in known.items():
        if value not in (None, "", [], (), {}):
            print(f"{name:<12} {value if isinstance(value, str) else json.dumps(value)}")


@app.command()
def export(
    key: Key,
    form: Annotated[str, typer.Option("--format", help="npz (arrays, JSON and weights), html, png or svg.")] = "npz",
    out: Annotated[Path | None, typer.Option(help="Where to; npz: a folder, or a file .zip.")] = None,
    home: Home = None,
) -> None:
    """Write a run to files that need nothing of this program to be read."""
    library = Library(home)
    found = library.run(key)
    if form == "npz":
        print(archive.export(library, found.key, out or Path(found.key)))
        return
    if form not in ("html", "png", "svg"):
        raise BadInput(f"There is no export format {form!r}. Choose npz, html, png or svg.")
    if form != "html" and importlib.util.find_spec("kaleido") is None:
        raise BadInput(f"Export as {form} needs kaleido. Install it with: pip install 'landscape[export]'.")
    from landscape.figures import page

    pictures = {found.key: page.standalone(library, found.key)} if form == "html" else page.images(library, found.key, form)
    if not pictures:
        raise BadInput(f"Run {found.key} has nothing to draw yet: it is {found.status}.")
    single = out if out and out.suffix == f".{form}" and len(pictures) == 1 else None
    folder = out if out and not single else Path()
    for name, picture in pictures.items():
        print(archive.write_new(single or folder / f"{name.replace(':', '-')}.{form}", picture))


@app.command()
def delete(key: Key, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: Home = None) -> None:
    """Delete a run and the runs made only for it."""
    found = Library(home).writable(key)
    if not yes:
        typer.confirm(f"Delete {found.title} ({found.key}) for good?", abort=True, err=True)
    Jobs(home).delete(found.key)
    say(f"Deleted {found.key}.")


@app.command()
def stop(home: Home = None) -> None:
    """End the process that computes. Its runs wait; a page or a command that starts one lets them go on."""
    say("The engine has ended." if Jobs(home).stop() else "No engine is running.")


@app.command()
def data(as_json: Json = False) -> None:
    """List the embedded data and the files of the data folder, as they are named in ``--set task=NAME``."""
    known = {name: (row.title, row.about) for name, row in catalog.DATASETS.items()}
    known |= {name: ("My file", "In the data folder, LANDSCAPE_DATA.") for name in own_files()}
    if as_json:
        print_json({name: {"title": title, "about": about} for name, (title, about) in known.items()})
        return
    for name, (title, text) in known.items():
        print(f"{name:<12} {title}: {text}")


@app.command()
def bench(
    workloads: Annotated[list[str] | None, typer.Argument(
        help="grid, convolutions, pictures, training, pipelines, inspect, posterior, people, scaling, gpu; all if "
             "none is named.")] = None,
    as_json: Json = False,
    rival: Annotated[Path | None, typer.Option(help="Environment that has other packages (make bench makes one).")] = None,
) -> None:
    """Measure speed, as ratios within one run."""
    command = [sys.executable, "-m", "bench", *(workloads or []), *(["--json"] if as_json else [])]
    raise typer.Exit(subprocess.run([*command, *(["--rival", str(rival)] if rival else [])], cwd=ROOT).returncode)


@app.callback(invoke_without_command=True)
def about(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(__version__)
        raise typer.Exit()


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def main() -> None:
    try:
        configuration.read()
        app()
    except LandscapeError as error:
        say(f"Error: {error}")
        sys.exit(1)


if __name__ == "__main__":
    main()
