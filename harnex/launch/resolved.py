"""The options of a start, made definite: directory, id, program, version, rules.

Nothing is written here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from harnex import config, names, paths
from harnex.agents import catalogue
from harnex.agents.contract import Adapter, Version
from harnex.errors import HarnexError, UsageError
from harnex.launch import lease as leases
from harnex.launch import limits, startfile, versions
from harnex.launch.environment import clean_env
from harnex.launch.environment import resolve as find_program
from harnex.launch.options import RunOptions
from harnex.redaction import rules as redaction
from harnex.redaction.redactor import Redactor
from harnex.store import named, registry


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A start with all options made definite."""

    options: RunOptions
    state: str  # the state directory
    cwd: str  # without links: agents compare trust with the resolved directory
    repo: str
    session_id: str
    rules: redaction.Rules
    notes: list[str]  # for the person who starts the session
    summary_out: str | None
    env: dict[str, str]  # before the agent's adapter adds to it
    redactor: Redactor
    agent: str  # the agent's name in the catalogue
    adapter: Adapter
    program: str
    version_text: str | None
    version: Version | None


def resolve(options: RunOptions) -> Resolved:
    """Make the options definite.

    Raises UsageError for an impossible option, HarnexError for a missing thing.
    """
    limits.check(options)
    state = paths.state_dir()
    cwd = os.path.realpath(options.cwd or _getcwd())
    if not os.path.isdir(cwd):
        raise HarnexError(f"the working directory {cwd} is not there", "give another one with --cwd")
    repo = paths.repo_root(cwd)
    session_id = paths.normal_id(options.id) if options.id is not None else _free_name(state)
    refuse_duplicate(state, repo, session_id)
    rules, left_out = rules_for(state, repo, options)
    summary_out = summary_path(options.summary_out)
    env = {**clean_env(), **options.env}
    given = leases.secrets_of(options.credential) if options.credential else []
    redactor = redaction.redactor(rules, env, given)
    refuse_secret(session_id, options.id, redactor)
    agent, adapter = _agent(options)
    program = find_program(options.cli, env, cwd)
    version_text = options.version
    if version_text is None and catalogue.kind(agent).is_agent:
        version_text = versions.detect(state, program, env, agent, cwd)
    return Resolved(
        options=options,
        state=state,
        cwd=cwd,
        repo=repo,
        session_id=session_id,
        rules=rules,
        notes=[*options.notes, *left_out],
        summary_out=summary_out,
        env=env,
        redactor=redactor,
        agent=agent,
        adapter=adapter,
        program=program,
        version_text=version_text,
        version=versions.parse(version_text),
    )


def _agent(options: RunOptions) -> tuple[str, Adapter]:
    """Return the agent's name and its adapter.

    Raises UsageError for options that the agent does not take.
    """
    name = catalogue.name_for(options.cli)
    kind = catalogue.kind(name)
    if options.headless and not kind.headless:
        raise UsageError(
            f"{options.cli} has no headless mode that harnex knows",
            "only: " + those_with("headless") + "; else: harnex run CLI --detach, and harnex send --wait-for-idle",
        )
    for option in options.own:
        if all(own.name != option for own in kind.options):
            takers = ", ".join(k.name for k in catalogue.kinds() if any(own.name == option for own in k.options))
            raise UsageError(f"--{option} is for: {takers}", f"harnex run {takers} --{option} ...")
    return name, catalogue.headless_for(name) if options.headless else catalogue.adapter_for(name)


def rules_for(state: str, repo: str, options: RunOptions) -> tuple[redaction.Rules, list[str]]:
    """Return the redaction rules, and notes on the files that hold them. Raises UsageError.

    A resumed run keeps the rules of the old run, so that an agent that changed the file
    meanwhile changed nothing.
    """
    if options.resume is not None:
        return redaction.of_start(startfile.read(paths.run_dir(state, options.resume.run_id)), repo), []
    files = config.load(repo)
    return redaction.rules_of(files), files.notes


def record_notes(record: str) -> tuple[str, ...]:
    if record != "raw":
        return ()
    return ("--record raw: the recording has the terminal's bytes as they are; secrets in it are not taken out",)


def summary_path(path: str | None) -> str | None:
    """Return the absolute path for the dispatch record.

    Raises UsageError if the path can't be written: better now than at the end.
    """
    if path is None:
        return None
    if not path:
        raise UsageError("--summary-out: no file is named")
    given = os.path.expanduser(path)
    try:
        target = named.target_of(given)
    except OSError as e:
        raise UsageError(f"--summary-out {given}: {e.strerror}", "name a file") from None
    if isinstance(target, int):
        if not os.isatty(target):
            raise UsageError(f"--summary-out {given} is gone before the run ends", "name a file or a FIFO")
        target = os.ttyname(target)
    path = os.path.realpath(target)
    directory = os.path.dirname(path)
    if os.path.isdir(path):
        raise UsageError(f"--summary-out {path} is a directory", "name a file in it")
    if os.path.exists(path) and not os.path.isfile(path):
        if not os.access(path, os.W_OK):
            raise UsageError(f"--summary-out: can't write to {path}", "name a file of yours")
        return path
    if not os.path.isdir(directory):
        raise UsageError(f"--summary-out: there is no directory {directory}", "make it first")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"--summary-out: can't write in {directory}", "name a file in a directory of yours")
    return path


def _getcwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise HarnexError("the working directory is gone", "go to another one, or give one with --cwd") from None


def refuse_duplicate(state: str, repo: str, session_id: str) -> None:
    """Refuse an id in use, before anything is prepared.

    The supervisor checks again under the lock.
    """
    old = registry.at(state, paths.session_file(state, repo, session_id))
    if old is not None and registry.is_live(old):
        raise HarnexError(
            f"session '{session_id}' is already running here ({old.get('cli')}, {old.get('state')})",
            f"use it: harnex send --id {session_id}; end it: harnex stop --id {session_id}; or start with another --id",
            id=session_id,
        )


def refuse_secret(session_id: str, given: str | None, redactor: Redactor) -> None:
    """Refuse an id that holds a secret: an id names files, stands in every record
    and is printed everywhere."""
    if given is not None and any(redactor.path(word) != word for word in (session_id, given)):
        raise UsageError("the session id holds a secret, and would stand in every record", "choose another --id")


def _free_name(state: str) -> str:
    return names.two_words({r["id"] for r in registry.all_records(state)[0]})


def those_with(role: str) -> str:
    """Return the names of the CLIs that have this role, in words."""
    return ", ".join(sorted(kind.name for kind in catalogue.kinds() if getattr(kind, role)))
