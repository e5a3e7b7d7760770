"""A form for the settings of a recipe: the few that matter in front, all others behind *Advanced*."""

from __future__ import annotations

import typing

import streamlit as st
from pydantic.fields import FieldInfo

from landscape import catalog
from landscape.data import own_files
from landscape.errors import BadInput
from landscape.settings import Settings, parse, settings_of
from landscape.uncertainty.calibrators import CALIBRATORS
from landscape.uncertainty.shift import CORRUPTIONS

FRONT = ("task", "network", "seeds")
UNKNOWN = ("none", *catalog.UNKNOWNS, *catalog.DATASETS)
CHOICES = {"network": catalog.NETWORKS, "schedule": catalog.SCHEDULES, "ood": UNKNOWN}
MANY = {
    "methods": catalog.METHODS, "sources": catalog.SOURCES, "scaled": catalog.SOURCES,
    "calibrators": {
        **{name: catalog.Row(row.label, row.words, "") for name, row in CALIBRATORS.items()},
        "pooled": catalog.Row("Members' temperature", "one temperature for each network before they are averaged", ""),
        "density": catalog.Row("Density-aware", "a temperature that grows with the distance to training examples", "")},
    "corruptions": {name: catalog.Row(row.label, row.words, "") for name, row in CORRUPTIONS.items()},
}
TITLES = {"ood": "unknown inputs"}  # what a setting is called, where its name says too little
NAMED = {"ood": {name: row.title for name, row in (catalog.DATASETS | catalog.UNKNOWNS).items()}}
HIDDEN = ("device",)


def from_address(recipe: str) -> dict[str, str]:
    """The settings named in the URL."""
    fields = settings_of(recipe).model_fields
    return {name: value for name, value in st.query_params.items() if name in fields}


def form(recipe: str, front: tuple[str, ...] = ()) -> Settings | None:
    """Widgets for every setting, started from the URL and the task's defaults; None, with the reason shown, if not valid.

    ``front`` are further settings that stand in front, the others are behind *Advanced*.
    """
    given = from_address(recipe)
    start, problem = _start(recipe, given)
    columns = st.columns(len(FRONT), vertical_alignment="bottom")
    names = [*catalog.TASKS, *own_files()]
    if start.task not in names:
        names.append(start.task)
    task = columns[0].selectbox("Data", names, names.index(start.task), format_func=_task_title, key="form-task")
    if task != start.task:
        start, problem = parse(recipe, {"task": task}), None
    network = columns[1].selectbox("Network", list(catalog.NETWORKS), list(catalog.NETWORKS).index(start.network),
                                   format_func=lambda n: catalog.NETWORKS[n].title, key=f"form-{task}-network")
    if network != start.network:
        start = parse(recipe, {"task": task, "network": network})
    seeds = columns[2].text_input("Seeds", ", ".join(map(str, start.seeds)), key=f"form-{task}-seeds",
                                  help="One network for each number.")
    chosen = {"task": task, "network": network, "seeds": seeds}
    chosen |= _fields(recipe, start, f"form-{task}-{network}", front)
    with st.expander("Advanced", icon=":material/tune:", expanded=problem is not None):
        rest = [n for n in settings_of(recipe).model_fields if n not in (*FRONT, *HIDDEN, *front)]
        chosen |= _fields(recipe, start, f"form-{task}-{network}", rest)
    if problem:
        st.error(f"The address asks for something that cannot be computed. {problem}")
    try:
        return parse(recipe, chosen)
    except BadInput as error:
        st.error(str(error))
        return None


def _start(recipe: str, given: dict[str, str]) -> tuple[Settings, str | None]:
    try:
        return parse(recipe, given), None
    except BadInput as error:
        return parse(recipe, {"task": given["task"]} if given.get("task") in catalog.TASKS else {}), str(error)


def _task_title(name: str) -> str:
    return catalog.DATASETS[name].title if name in catalog.DATASETS else f"My file {name.removeprefix('file:')}"


def _fields(recipe: str, start: Settings, prefix: str, names) -> dict:
    """Four beside each other; a choice of many has the rest of its row."""
    fields, chosen, at = settings_of(recipe).model_fields, {}, 4
    for name in names:
        if name in MANY:
            chosen[name] = ",".join(_many(name, fields[name], getattr(start, name), f"{prefix}-{name}"))
            at = 4
            continue
        if at == 4:
            columns, at = st.columns(4), 0
        chosen[name] = widget(columns[at], name, fields[name], getattr(start, name), f"{prefix}-{name}")
        at += 1
    return chosen


def _many(name: str, field: FieldInfo, value: tuple[str, ...], key: str) -> list[str]:
    """Buttons for a choice of several; what each is stands in the help."""
    rows = MANY[name]
    about = "\n".join(f"- **{row.title}**: {row.about}" for row in rows.values())
    return st.pills(name.capitalize(), list(rows), selection_mode="multi", default=[n for n in value if n in rows], key=key,
                    format_func=lambda n: rows[n].title, help=f"{field.description}\n\n{about}")


def widget(column, name: str, field: FieldInfo, value, key: str):
    """A text field, or a list where the setting has one; what is typed is judged by the settings model, on the server."""
    label = TITLES.get(name) or name.replace("_", " ")
    options = list(CHOICES[name]) if name in CHOICES else list(typing.get_args(field.annotation))
    if options and all(isinstance(option, str) for option in options):
        options += [value] if value not in options else []  # a file, as the address may name one
        return column.selectbox(label, options, options.index(value), key=key, help=field.description,
                                format_func=lambda one: NAMED.get(name, {}).get(one, one))
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
    return column.text_input(label, text, key=key, help=field.description)
