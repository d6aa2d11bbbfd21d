"""Everything that a run needs on disk before its supervisor starts, and
the undo for a failed start."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
import uuid
from dataclasses import dataclass, replace

from harnex import paths, times
from harnex.agents.contract import Adapter, HeadlessRequest, Launch, LaunchRequest, Lease, Rehearsal, Version
from harnex.errors import HarnexError, UsageError
from harnex.launch import lease as leases
from harnex.launch import manifest, rehearse, startfile
from harnex.launch.environment import apply_env, spawner
from harnex.launch.files import reader_in, write_files
from harnex.launch.options import RunOptions
from harnex.launch.rehearse import Endpoint
from harnex.launch.resolved import Resolved, record_notes, those_with
from harnex.launch.spec import SESSION_ID, Spec
from harnex.model.records import KeptMessage
from harnex.redaction.redactor import Redactor
from harnex.store import registry, runlock, undelivered


class Prepared:
    """A run that is being started: its id, its mark (`lock`, a descriptor), its directory,
    and a rehearsal's endpoint.

    `prepare` makes the rest. Afterwards call either `undo` or `let_go`, once.
    """

    def __init__(self, resolved: Resolved) -> None:
        self._start = resolved
        resume = resolved.options.resume
        self.run_id = resume.new_run_id if resume else new_run_id()
        self.run_dir = paths.run_dir(resolved.state, self.run_id)
        self.lock = resume.lock if resume else _take_lock(resolved.state, self.run_id)
        self.endpoint: Endpoint | None = None

    def prepare(self) -> Spec:
        """Write what the run needs. Returns what the supervisor gets. Raises HarnexError."""
        start, options, run_dir = self._start, self._start.options, self.run_dir
        resume = options.resume
        paths.subdir(start.state, "runs", self.run_id)
        paths.subdir(start.state, "runs", self.run_id, "evidence")
        home = (resume.home if resume else None) or os.path.join(run_dir, "home")
        context_id = None
        if options.context is not None:
            context_id = _keep_context(start.state, self.run_id, options, start.redactor)
        about = startfile.about(
            options, id=start.session_id, run_id=self.run_id, adapter=start.agent, program=start.program,
            repo=start.repo, cwd=start.cwd, home=home, redact=start.rules,
        )  # fmt: skip
        startfile.write(run_dir, about, start.env)
        agent = self._agent(home)
        write_files({**agent.rehearsal.files, **agent.launch.files})
        spec = self._spec(agent, context_id)
        startfile.write(run_dir, startfile.launched(about, spec), apply_env(start.env, spec.env))
        manifest.write(run_dir, spec, agent.launch, start.env)
        return spec

    def _agent(self, home: str) -> _Agent:
        """Return how the agent is started: in a private home, if one is
        needed, and with which task."""
        start, options, resume = self._start, self._start.options, self._start.options.resume
        rehearsal = Rehearsal()
        if options.rehearse is not None:
            self.endpoint = Endpoint(options.rehearse, self.run_dir, resume.rehearsed if resume else ())
            rehearsal = rehearse.rehearsal(
                options.cli, start.adapter, start.agent, self.endpoint, home, start.cwd, start.version
            )
        private = leases.home_of(self.run_dir)
        leased = lease_for(options, start.adapter, private, start.cwd, start.version, self.endpoint)
        private_env = {**rehearsal.env, **leased.env}
        request = LaunchRequest(
            command=start.program,
            args=(*rehearsal.args, *(resume.args if resume and resume.args else options.args)),
            version=start.version,
            cwd=start.cwd,
            env=apply_env(start.env, private_env),
            permissions=options.permissions,
            trust=options.trust,
            evidence_dir=os.path.join(self.run_dir, "evidence"),
            new_session_id=str(uuid.uuid4()),
            as_root=os.geteuid() == 0,
            read_text=reader_in(start.cwd, {**rehearsal.files, **leased.files}),
            run_id=self.run_id,
            title=options.description or start.session_id,
            options=options.own,
            socket=lambda: paths.agent_socket(paths.socket_path(start.state, self.run_id)),
        )
        launch = start.adapter.launch(_headless(request, options) if options.headless else request)
        resuming = start.adapter.resume_args(SESSION_ID, options.args)
        resume_argv = None
        if resuming and not options.headless:
            resume_argv = list(start.adapter.launch(replace(request, args=(*rehearsal.args, *resuming))).argv)
        return _Agent(rehearsal, leased, launch, resume_argv)

    def _spec(self, agent: _Agent, context_id: str | None) -> Spec:
        start, options, resume = self._start, self._start.options, self._start.options.resume
        launch, endpoint, lease = agent.launch, self.endpoint, None
        if options.credential is not None:
            lease = leases.for_spec(leases.home_of(self.run_dir), agent.leased, options.credential)
        notes = [*start.notes, *launch.notes, *agent.leased.notes, *record_notes(options.record)]
        return Spec(
            state=start.state,
            id=start.session_id,
            run_id=self.run_id,
            cli=os.path.basename(options.cli),
            adapter=start.agent,
            argv=list(launch.argv),
            env={**options.env, **agent.rehearsal.env, **agent.leased.env, **launch.env},
            cwd=start.cwd,
            repo=start.repo,
            mode=options.mode,
            version=list(start.version) if start.version else None,
            version_text=start.version_text,
            description=options.description,
            meta=options.meta,
            context=options.context,
            context_id=context_id,
            permissions=options.permissions,
            permissions_used=launch.permissions,
            trust=options.trust,
            notes=list(dict.fromkeys(notes)),
            agent_session_id=launch.session_id,
            columns=options.columns,
            rows=options.rows,
            timeout=options.timeout,
            policy=options.policy,
            watch_file=options.watch_file,
            resume_argv=agent.resume_argv,
            record=options.record,
            rehearsal=options.rehearse is not None,
            endpoint_pid=endpoint.process.pid if endpoint else None,
            endpoint_start=endpoint.started if endpoint else None,
            resumes=resume.run_id if resume else None,
            before=resume.before if resume else None,
            spawner=spawner(),
            redact=start.rules,
            lease=lease,
            summary_out=start.summary_out,
            headless=options.headless,
            prompt=options.prompt,
            stdin=launch.stdin,
            again=list(launch.again),
            schema=options.schema,
            keep=list(options.keep),
            background_wait=Spec.background_wait if options.background_wait is None else options.background_wait,
        )

    def undo(self) -> None:
        """The supervisor did not start: leave nothing behind.

        A supervisor that lives after all holds the lock; one that began is in the registry and
        wrote events. What was lost in between is left to the next recovery.
        """
        if self.endpoint is not None:
            self.endpoint.end()
        os.close(self.lock)
        state = self._start.state
        entered = registry.read(paths.session_file(state, self._start.repo, self._start.session_id))
        begun = os.path.exists(os.path.join(self.run_dir, "events.jsonl"))
        ours = entered is not None and entered["run_id"] == self.run_id
        if not begun and not ours and not runlock.is_held(runlock.path_of(state, self.run_id)):
            if self._start.options.resume is None:
                shutil.rmtree(self.run_dir, ignore_errors=True)
            runlock.remove(state, self.run_id)

    def let_go(self) -> None:
        """The supervisor runs: close our copies of the lock and the
        endpoint, which it holds now."""
        os.close(self.lock)
        if self.endpoint is not None:
            self.endpoint.let_go()


@dataclass(frozen=True, slots=True)
class _Agent:
    """How the agent is started.

    `resume_argv` is the argv for a resumed conversation; SESSION_ID in it is filled in later.
    """

    rehearsal: Rehearsal
    leased: Lease
    launch: Launch
    resume_argv: list[str] | None


def lease_for(
    options: RunOptions, adapter: Adapter, home: str, cwd: str, version: Version | None, endpoint: Endpoint | None
) -> Lease:
    """Return the private home for the given credential; an empty lease without one.

    Raises UsageError.
    """
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
        raise UsageError(f"{options.cli} can't be given a leased credential", "only: " + those_with("leases"))
    # Unset the variable that held the credential: it is for harnex, not for the agent's tools.
    own: dict[str, str | None] = {} if credential.is_file else {credential.name: None}
    return dataclasses.replace(found, env={**own, **found.env})


def _take_lock(state: str, run_id: str) -> int:
    try:
        return runlock.take(state, run_id)
    except OSError as e:
        where = paths.sessions_dir(state)
        raise HarnexError(f"can't write in {where}: {e.strerror}", "make room, or see: harnex doctor") from None


def _keep_context(state: str, run_id: str, options: RunOptions, redactor: Redactor) -> str:
    """Keep the first message in case of a crash. Returns its id."""
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


def new_run_id() -> str:
    """Return an id that is unique for ever and sorts by time: `20261121T055312123-9f8e7d6c`."""
    return f"{times.compact(time.time())}-{os.urandom(4).hex()}"
