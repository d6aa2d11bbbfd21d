"""Starting a session, from the launching command's side: resolve, prepare, spawn, hear how it went."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import shutil
import subprocess
import time
import uuid
from dataclasses import replace
from typing import Any

from harnex import config, errors, interpreter, jsonl, names, paths, times
from harnex.agents import catalogue
from harnex.agents.contract import (
    Adapter,
    HeadlessRequest,
    LaunchRequest,
    Lease,
    Rehearsal,
    Version,
)
from harnex.errors import HarnexError, UsageError
from harnex.launch import lease as leases
from harnex.launch import limits, manifest, rehearse, startfile, versions
from harnex.launch.environment import apart_env, apply_env, clean_env, resolve, spawner
from harnex.launch.files import reader_in, write_files
from harnex.launch.options import RunOptions
from harnex.launch.rehearse import Endpoint
from harnex.launch.spec import SESSION_ID, Spec
from harnex.model.records import KeptMessage
from harnex.redaction import rules as redaction
from harnex.redaction.redactor import Redactor
from harnex.store import named, registry, runlock, undelivered

START_PATIENCE_S = (
    20.0  # for the supervisor's word, after the agent's own `boot_s`: it takes a second unless the machine is swamped
)


def new_run_id() -> str:
    """Unique for ever and sorted by time: `20261121T055312123-9f8e7d6c`."""
    return f"{times.compact(time.time())}-{os.urandom(4).hex()}"


def start(options: RunOptions) -> dict[str, Any]:
    """Start a session. The reply is what `run --detach` prints. Raises HarnexError."""
    limits.check(options)
    state = paths.state_dir()
    cwd = os.path.realpath(options.cwd or _getcwd())  # agents compare trust with the resolved directory
    if not os.path.isdir(cwd):
        raise HarnexError(f"the working directory {cwd} is not there", "give another one with --cwd")
    repo = paths.repo_root(cwd)
    session_id = paths.normal_id(options.id) if options.id is not None else _free_name(state)
    refuse_duplicate(state, repo, session_id)
    rules, left_out = rules_for(state, repo, options)
    notes = [*options.notes, *left_out]
    summary_out = summary_path(options.summary_out)
    env = {**clean_env(), **options.env}
    given = leases.secrets_of(options.credential) if options.credential else []
    redactor = redaction.redactor(rules, env, given)
    refuse_secret(session_id, options.id, redactor)
    adapter_name = catalogue.name_for(options.cli)
    kind = catalogue.kind(adapter_name)
    if options.headless and not kind.headless:
        raise UsageError(
            f"{options.cli} has no headless mode that harnex knows",
            "only: " + _those_with("headless") + "; else: harnex run CLI --detach, and harnex send --wait-for-idle",
        )
    find_adapter = catalogue.headless_for if options.headless else catalogue.adapter_for
    adapter = find_adapter(adapter_name)
    for name in options.own:
        if all(own.name != name for own in kind.options):
            takers = ", ".join(k.name for k in catalogue.kinds() if any(own.name == name for own in k.options))
            raise UsageError(f"--{name} is for: {takers}", f"harnex run {takers} --{name} ...")
    program = resolve(options.cli, env, cwd)
    version_text = options.version
    if version_text is None and kind.is_agent:
        version_text = versions.detect(state, program, env, adapter_name, cwd)
    version = versions.parse(version_text)
    resume = options.resume
    run_id = resume.new_run_id if resume else new_run_id()
    run_dir = paths.run_dir(state, run_id)
    lock = resume.lock if resume else _take_lock(state, run_id)
    endpoint: Endpoint | None = None
    try:
        paths.subdir(state, "runs", run_id)
        evidence = paths.subdir(state, "runs", run_id, "evidence")
        home = (resume.home if resume else None) or os.path.join(run_dir, "home")
        context_id = _keep_context(state, run_id, options, redactor) if options.context is not None else None
        about = startfile.about(
            options, id=session_id, run_id=run_id, adapter=adapter_name, program=program, repo=repo, cwd=cwd, home=home,
            redact=rules,
        )  # fmt: skip
        startfile.write(run_dir, about, env)
        rehearsal = Rehearsal()
        if options.rehearse is not None:
            endpoint = Endpoint(options.rehearse, run_dir, resume.rehearsed if resume else ())
            rehearsal = rehearse.rehearsal(options.cli, adapter, adapter_name, endpoint, home, cwd, version)
        leased = lease_for(options, adapter, leases.home_of(run_dir), cwd, version, endpoint)
        private_env = {**rehearsal.env, **leased.env}
        request = LaunchRequest(
            command=program,
            args=(*rehearsal.args, *(resume.args if resume and resume.args else options.args)),
            version=version,
            cwd=cwd,
            env=apply_env(env, private_env),
            permissions=options.permissions,
            trust=options.trust,
            evidence_dir=evidence,
            new_session_id=str(uuid.uuid4()),
            as_root=os.geteuid() == 0,
            read_text=reader_in(cwd, {**rehearsal.files, **leased.files}),
            run_id=run_id,
            title=options.description or session_id,
            options=options.own,
            socket=lambda: paths.agent_socket(paths.socket_path(state, run_id)),
        )
        launch = adapter.launch(_headless(request, options) if options.headless else request)
        resuming = adapter.resume_args(SESSION_ID, options.args)
        resume_argv = None
        if resuming and not options.headless:
            resume_argv = list(adapter.launch(replace(request, args=(*rehearsal.args, *resuming))).argv)
        write_files({**rehearsal.files, **launch.files})
        spec = Spec(
            state=state,
            id=session_id,
            run_id=run_id,
            cli=os.path.basename(options.cli),
            adapter=adapter_name,
            argv=list(launch.argv),
            env={**options.env, **private_env, **launch.env},
            cwd=cwd,
            repo=repo,
            mode=options.mode,
            version=list(version) if version else None,
            version_text=version_text,
            description=options.description,
            meta=options.meta,
            context=options.context,
            context_id=context_id,
            permissions=options.permissions,
            permissions_used=launch.permissions,
            trust=options.trust,
            notes=list(dict.fromkeys([*notes, *launch.notes, *leased.notes, *record_notes(options.record)])),
            agent_session_id=launch.session_id,
            columns=options.columns,
            rows=options.rows,
            timeout=options.timeout,
            policy=options.policy,
            watch_file=options.watch_file,
            resume_argv=resume_argv,
            record=options.record,
            rehearsal=options.rehearse is not None,
            endpoint_pid=endpoint.process.pid if endpoint else None,
            endpoint_start=endpoint.started if endpoint else None,
            resumes=resume.run_id if resume else None,
            before=resume.before if resume else None,
            spawner=spawner(),
            redact=rules,
            lease=leases.for_spec(leases.home_of(run_dir), leased, options.credential) if options.credential else None,
            summary_out=summary_out,
            headless=options.headless,
            prompt=options.prompt,
            stdin=launch.stdin,
            again=list(launch.again),
            schema=options.schema,
            keep=list(options.keep),
            background_wait=Spec.background_wait if options.background_wait is None else options.background_wait,
        )
        startfile.write(run_dir, startfile.launched(about, spec), apply_env(env, spec.env))
        manifest.write(run_dir, spec, launch, env)
        reply = _spawn(spec, endpoint, lock, START_PATIENCE_S + adapter.reader(version).boot_s)
    except BaseException:
        if endpoint is not None:
            endpoint.end()
        os.close(lock)
        # Nothing ran: leave nothing behind. (A supervisor that lives holds the lock; one that began is in the registry,
        # and wrote events.) What was lost in between is for the next recovery.
        entered = registry.read(paths.session_file(state, repo, session_id))
        begun = os.path.exists(os.path.join(run_dir, "events.jsonl"))
        if (
            not begun
            and (entered is None or entered["run_id"] != run_id)
            and not runlock.is_held(runlock.path_of(state, run_id))
        ):
            if resume is None:
                shutil.rmtree(run_dir, ignore_errors=True)
            runlock.remove(state, run_id)
        raise
    os.close(lock)
    if endpoint is not None:
        endpoint.let_go()
    return reply


def rules_for(state: str, repo: str, options: RunOptions) -> tuple[redaction.Rules, list[str]]:
    """What counts as a secret, and what is to be told of the files that say so. Raises UsageError.

    A run that goes on with another one keeps its rules: an agent that changed the file meanwhile changed nothing.
    """
    if options.resume is not None:
        return redaction.of_start(startfile.read(paths.run_dir(state, options.resume.run_id)), repo), []
    files = config.load(repo)
    return redaction.rules_of(files), files.notes


def lease_for(
    options: RunOptions, adapter: Adapter, home: str, cwd: str, version: Version | None, endpoint: Endpoint | None
) -> Lease:
    """The private home for the credential that was given; an empty one without. Raises UsageError."""
    credential = options.credential
    if credential is None:
        return Lease()
    try:
        found = adapter.lease(credential, home, cwd, version, endpoint.base_url if endpoint else None)
    except ValueError as e:
        raise UsageError(
            f"the credential from {credential.name} can't be used for {options.cli}: {e}", "see: harnex guide"
        ) from None
    if found is None:
        raise UsageError(f"{options.cli} can't be given a leased credential", "only: " + _those_with("leases"))
    # The variable that it came from is for harnex, not for the agent's tools.
    own: dict[str, str | None] = {} if credential.is_file else {credential.name: None}
    return dataclasses.replace(found, env={**own, **found.env})


def _those_with(role: str) -> str:
    """The names of the CLIs that have it, in words."""
    return ", ".join(sorted(kind.name for kind in catalogue.kinds() if getattr(kind, role)))


def record_notes(record: str) -> tuple[str, ...]:
    if record != "raw":
        return ()
    return ("--record raw: the recording has the terminal's bytes as they are; secrets in it are not taken out",)


def summary_path(path: str | None) -> str | None:
    """Where the dispatch record shall go, absolute. Raises UsageError if that can't be: better now than at the end."""
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


def _take_lock(state: str, run_id: str) -> int:
    try:
        return runlock.take(state, run_id)
    except OSError as e:
        where = paths.sessions_dir(state)
        raise HarnexError(f"can't write in {where}: {e.strerror}", "make room, or see: harnex doctor") from None


def _keep_context(state: str, run_id: str, options: RunOptions, redactor: Redactor) -> str:
    """Keep the first message for the case of a crash; its id."""
    message: KeptMessage = {"id": "m-" + os.urandom(6).hex(), "text": options.context, "submit": True, "from": None}
    try:
        undelivered.put(state, run_id, message, redactor.text, first=options.resume is not None)
    except OSError as e:
        where = paths.run_dir(state, run_id)
        raise HarnexError(f"can't write in {where}: {e.strerror}", "make room, or see: harnex doctor") from None
    return str(message["id"])


def _headless(request: LaunchRequest, options: RunOptions) -> HeadlessRequest:
    return HeadlessRequest(
        **{field.name: getattr(request, field.name) for field in dataclasses.fields(request)},
        prompt=options.prompt,
        model=options.model,
        system=options.system,
        system_path=os.path.join(request.evidence_dir, "system.txt"),
        schema=options.schema,
        schema_path=os.path.join(request.evidence_dir, "schema.json"),
    )


def _getcwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise HarnexError("the working directory is gone", "go to another one, or give one with --cwd") from None


def refuse_duplicate(state: str, repo: str, session_id: str) -> None:
    """A friendly word before anything is prepared; the supervisor checks again under the lock."""
    old = registry.at(state, paths.session_file(state, repo, session_id))
    if old is not None and registry.is_live(old):
        raise HarnexError(
            f"session '{session_id}' is already running here ({old.get('cli')}, {old.get('state')})",
            f"use it: harnex send --id {session_id}; end it: harnex stop --id {session_id}; or start with another --id",
            id=session_id,
        )


def refuse_secret(session_id: str, given: str | None, redactor: Redactor) -> None:
    """An id is the name of files, stands in every record and is printed everywhere: it can't hold a secret."""
    if given is not None and any(redactor.path(word) != word for word in (session_id, given)):
        raise UsageError("the session id holds a secret, and would stand in every record", "choose another --id")


def _free_name(state: str) -> str:
    return names.two_words({r["id"] for r in registry.all_records(state)[0]})


def _spawn(spec: Spec, endpoint: Endpoint | None, lock: int, patience: float) -> dict[str, Any]:
    log = os.path.join(paths.run_dir(spec.state, spec.run_id), "supervisor.log")
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as words:
        process = subprocess.Popen(
            interpreter.command("harnex.supervisor.__main__", "harnex-supervisor", spec.id),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,
            cwd="/",
            env=apart_env("supervisor"),
            pass_fds=(lock, endpoint.keeper) if endpoint else (lock,),
        )
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(jsonl.dumps(spec.dump()).encode())
        process.stdin.close()
    readable, _, _ = select.select([process.stdout], [], [], patience)
    line = process.stdout.readline() if readable else b""
    process.stdout.close()
    process.returncode = 0  # it is not ours to wait for: it outlives us
    reply = jsonl.loads_dict(line)
    if reply is None:
        what, why = f"the supervisor of session '{spec.id}' did not start", _last_words(log)
        if why.startswith("ModuleNotFoundError"):
            raise HarnexError(f"{what}: {why}", interpreter.MISSING)
        raise HarnexError(f"{what}{': ' if why else ''}{why}", f"its log: {log}", errors.BUG)
    if not reply.get("ok"):
        known = ("ok", "error", "hint", "exit_code")
        raise HarnexError(
            str(reply.get("error")),
            str(reply.get("hint", "")),
            int(reply.get("exit_code") or errors.FAILED),
            **{k: v for k, v in reply.items() if k not in known},
        )
    return reply


def _last_words(log: str) -> str:
    """The last line of a log: of a traceback, the error itself. "" if there is none."""
    try:
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = f.read().strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""
