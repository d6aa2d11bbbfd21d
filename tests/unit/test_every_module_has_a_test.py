"""Every module is imported by a unit test, or stands in `HELD_BY` with the test that holds it.

Whoever changes a module finds its test by its name (`harnex/store/tail.py`: `tests/unit/store/test_tail.py`), or here.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "harnex"

# The reasons.
LOADED = "the catalogue imports it by name"
BEHIND = "it is reached through the reader or the screen that uses it"
WATCH = "it is reached through watch.Watch"
CLIENT = "it acts through the installed command"
LIVE = "it needs a live session"
PIPES = "it needs an agent on pipes"
CRASH = "it needs a supervisor that was killed"
REAL = "only the real CLI says whether its start is right"
PROGRAM = "it is a program: the test starts it"
TYPES = "it holds types only: mypy and what is written hold them"

HELD_BY = {
    "harnex.__main__": ("e2e/test_isolation.py::test_the_same_copy_of_harnex_runs_everywhere", PROGRAM),
    "harnex.agents.claude.background": (
        "unit/agents/claude/test_background.py::test_a_notification_ends_it_and_wakes_the_agent",
        BEHIND,
    ),
    "harnex.agents.claude.capture": (
        "unit/agents/claude/test_capture.py::test_of_one_call_the_result_tells_the_output",
        BEHIND,
    ),
    "harnex.agents.claude.dialogs": (
        "unit/agents/claude/test_dialogs.py::test_permission_options_are_read_in_order",
        BEHIND,
    ),
    "harnex.agents.claude.files": ("unit/usage/test_logs.py::test_sub_agents_are_found_with_their_parent", LOADED),
    "harnex.agents.claude.headless": ("real/test_exec.py::test_every_call_to_the_token", REAL),
    "harnex.agents.claude.kind": (
        "unit/agents/test_catalogue.py::test_each_that_comes_with_harnex_has_what_its_record_names",
        LOADED,
    ),
    "harnex.agents.claude.lease": ("real/test_leases.py::test_it_starts_without_a_dialog_and_uses_the_key", REAL),
    "harnex.agents.claude.log": ("unit/agents/claude/test_log.py::test_one_call_of_many_rows", LOADED),
    "harnex.agents.codex.background": ("unit/agents/codex/test_background.py::test_a_terminal_of_codex", BEHIND),
    "harnex.agents.codex.capture": (
        "unit/agents/codex/test_capture.py::test_totals_of_one_thread_are_one_series_over_files",
        BEHIND,
    ),
    "harnex.agents.codex.copied": (
        "unit/agents/codex/test_copied.py::test_what_a_fork_copied_is_counted_once",
        BEHIND,
    ),
    "harnex.agents.codex.files": ("unit/agents/codex/test_copied.py::test_sums_leave_copies_out", LOADED),
    "harnex.agents.codex.headless": ("real/test_exec.py::test_every_call_to_the_token", REAL),
    "harnex.agents.codex.home": ("unit/agents/codex/test_home.py::test_rehearsal_is_private_and_complete", BEHIND),
    "harnex.agents.codex.kin": ("unit/agents/codex/test_copied.py::test_sums_leave_copies_out", BEHIND),
    "harnex.agents.codex.kind": (
        "unit/agents/test_catalogue.py::test_each_that_comes_with_harnex_has_what_its_record_names",
        LOADED,
    ),
    "harnex.agents.codex.log": (
        "unit/agents/codex/test_log.py::test_records_name_the_thread_where_no_head_does",
        LOADED,
    ),
    "harnex.agents.codex.old": ("unit/agents/codex/test_old.py::test_old_streams_tell_each_answer", BEHIND),
    "harnex.agents.codex.panels": ("unit/agents/codex/test_screen.py::test_screen_of_the_real_cli", BEHIND),
    "harnex.agents.codex.record": (
        "unit/agents/paseo/test_adapter.py::test_idle_ends_nothing_before_the_record_says_how",
        BEHIND,
    ),
    "harnex.agents.codex.totals": ("unit/agents/codex/test_calls.py::test_only_totals", BEHIND),
    "harnex.agents.codex.turns": (
        "unit/agents/codex/test_turns.py::test_an_answer_that_was_cut_off_is_a_call_without_numbers",
        BEHIND,
    ),
    "harnex.agents.codex.views": ("unit/agents/test_views.py::test_what_is_open_is_seen_and_how_it_is_left", BEHIND),
    "harnex.agents.common.chat": (
        "unit/agents/claude/test_chat.py::test_each_calls_messages_begin_with_those_before_until_a_compaction",
        BEHIND,
    ),
    "harnex.agents.common.record": (
        "unit/agents/claude/test_record.py::test_a_call_without_a_record_is_told_under_paseo_as_without_it",
        BEHIND,
    ),
    "harnex.agents.common.remainder": (
        "unit/agents/claude/test_stream.py::test_a_total_tells_the_one_call_that_has_no_number",
        BEHIND,
    ),
    "harnex.agents.common.status_protocol": (
        "unit/agents/demo/test_adapter.py::test_every_source_says_busy_while_it_works",
        BEHIND,
    ),
    "harnex.agents.demo.kind": (
        "unit/agents/test_catalogue.py::test_each_that_comes_with_harnex_has_what_its_record_names",
        LOADED,
    ),
    "harnex.agents.generic.adapter": ("e2e/test_terminal.py::test_a_silent_program_gets_what_is_sent", LOADED),
    "harnex.agents.paseo.adapter": (
        "unit/agents/paseo/test_adapter.py::test_the_private_daemon_is_closed_to_others",
        LOADED,
    ),
    "harnex.agents.paseo.dialogs": ("e2e/test_paseo.py::test_a_permission_is_blocked_though_it_says_running", BEHIND),
    "harnex.agents.paseo.ending": (
        "unit/agents/paseo/test_adapter.py::test_an_interrupt_is_climbed_once_however_often_it_is_asked_for",
        BEHIND,
    ),
    "harnex.agents.generic.kind": (
        "unit/agents/test_catalogue.py::test_each_that_comes_with_harnex_has_what_its_record_names",
        LOADED,
    ),
    "harnex.agents.paseo.kind": (
        "unit/agents/test_catalogue.py::test_each_that_comes_with_harnex_has_what_its_record_names",
        LOADED,
    ),
    "harnex.agents.paseo.processes": ("e2e/test_paseo.py::test_a_killed_provider_is_a_failed_turn", BEHIND),
    "harnex.agents.paseo.reader": (
        "unit/agents/paseo/test_adapter.py::test_a_failed_send_that_was_delivered_is_delivered",
        BEHIND,
    ),
    "harnex.agents.paseo.start": (
        "unit/agents/paseo/test_adapter.py::test_a_daemon_that_was_started_is_not_yet_one_that_answers",
        BEHIND,
    ),
    "harnex.agents.paseo.state": (
        "unit/agents/paseo/test_adapter.py::test_the_file_is_idle_before_it_is_running",
        BEHIND,
    ),
    "harnex.agents.paseo.turn": ("unit/agents/paseo/test_adapter.py::test_the_opening_is_no_turn", BEHIND),
    "harnex.agents.roles": ("unit/agents/codex/test_copied.py::test_sums_leave_copies_out", BEHIND),
    "harnex.cli": ("e2e/test_bad_input.py::test_wrong_usage_is_told_with_the_way_out", CLIENT),
    "harnex.client.attach": (
        "e2e/test_terminal.py::test_detach_leaves_it_running_and_attach_shows_it_again",
        CLIENT,
    ),
    "harnex.client.connect": ("e2e/test_session.py::test_the_main_job", CLIENT),
    "harnex.client.tmux": ("e2e/test_tmux.py::test_no_name_runs_anything", CLIENT),
    "harnex.commands._answer": (
        "e2e/test_session.py::test_a_message_may_wait_in_the_queue_for_the_end_of_a_dialog",
        CLIENT,
    ),
    "harnex.commands._docs": ("e2e/test_bad_input.py::test_guide_and_recipes", CLIENT),
    "harnex.commands._follow": ("e2e/test_watch.py::test_the_follower_may_go_and_come_back", CLIENT),
    "harnex.commands._starting": ("e2e/test_session.py::test_the_main_job", CLIENT),
    "harnex.commands._types": ("e2e/test_session.py::test_the_main_job", CLIENT),
    "harnex.commands.agents_guide": ("e2e/test_demo.py::test_the_guide_of_agents", CLIENT),
    "harnex.commands.approve": (
        "e2e/test_paseo.py::test_a_permission_is_blocked_though_it_says_running",
        CLIENT,
    ),
    "harnex.commands.attach": (
        "e2e/test_terminal.py::test_detach_leaves_it_running_and_attach_shows_it_again",
        CLIENT,
    ),
    "harnex.commands.demo": ("e2e/test_demo.py::test_the_tour_ends_well_and_leaves_nothing", CLIENT),
    "harnex.commands.deny": ("e2e/test_paseo.py::test_a_permission_is_blocked_though_it_says_running", CLIENT),
    "harnex.commands.doctor": ("e2e/test_trust.py::test_doctor_says_how_it_stands", CLIENT),
    "harnex.commands.events": ("e2e/test_session.py::test_the_main_job", CLIENT),
    "harnex.commands.exec": (
        "e2e/test_exec.py::test_the_prompt_arrives_whole_on_standard_input_and_nowhere_else",
        CLIENT,
    ),
    "harnex.commands.guide": ("e2e/test_bad_input.py::test_guide_and_recipes", CLIENT),
    "harnex.commands.history": ("e2e/test_files.py::test_garbage_in_the_history", CLIENT),
    "harnex.commands.logs": ("e2e/test_terminal.py::test_logs_follow_to_the_end", CLIENT),
    "harnex.commands.pane": ("e2e/test_terminal.py::test_pane_in_its_forms", CLIENT),
    "harnex.commands.prune": ("e2e/test_faults.py::test_prune_keeps_what_a_resumed_session_stands_on", CLIENT),
    "harnex.commands.recipes": ("e2e/test_bad_input.py::test_guide_and_recipes", CLIENT),
    "harnex.commands.run": ("e2e/test_session.py::test_the_main_job", CLIENT),
    "harnex.commands.stop": (
        "e2e/test_session.py::test_stop_ends_what_ignores_it_and_what_it_left_behind",
        CLIENT,
    ),
    "harnex.commands.usage": ("e2e/test_usage.py::test_every_form_of_every_grouping", CLIENT),
    "harnex.commands.wait": ("e2e/test_session.py::test_wait_cannot_return_on_the_turn_before", CLIENT),
    "harnex.commands.watch": ("e2e/test_watch.py::test_the_follower_may_go_and_come_back", CLIENT),
    "harnex.interpreter": ("e2e/test_isolation.py::test_a_link_to_the_command", PROGRAM),
    "harnex.launch.answer_schema": ("e2e/test_exec.py::test_an_answer_that_does_not_fit_is_asked_for_once", PIPES),
    "harnex.launch.environment": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.files": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.prepared": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.resolved": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.spawn": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.launch": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.lease": ("e2e/test_safety.py::test_a_leased_credential_is_private_and_used", LIVE),
    "harnex.launch.limits": (
        "e2e/test_long_messages.py::test_a_first_message_is_refused_before_anything_starts",
        CLIENT,
    ),
    "harnex.launch.options": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.rehearse": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.spec": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.launch.startfile": ("e2e/test_go_on.py::test_a_task_that_was_cut_off_goes_on", CRASH),
    "harnex.machines.stopping": (
        "e2e/test_session.py::test_stop_ends_what_ignores_it_and_what_it_left_behind",
        LIVE,
    ),
    "harnex.model.protocol": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.names": ("e2e/test_exec_end.py::test_a_bad_result_is_the_end_as_well", LIVE),
    "harnex.recovery.recover": (
        "e2e/test_session.py::test_sigkill_of_the_supervisor_leaves_a_record_and_no_process",
        CRASH,
    ),
    "harnex.recovery.resume": ("e2e/test_go_on.py::test_a_task_that_was_cut_off_goes_on", CRASH),
    "harnex.recovery.write_end": (
        "e2e/test_session.py::test_sigkill_of_the_supervisor_leaves_a_record_and_no_process",
        CRASH,
    ),
    "harnex.redaction.wrap": ("unit/redaction/test_redactor.py::test_a_wrapped_key_is_found", BEHIND),
    "harnex.model.records": ("e2e/test_golden_face.py::test_keys_types_and_the_order_at_the_end", TYPES),
    "harnex.recovery.record": ("e2e/test_faults.py::test_killed_in_the_middle_of_recovery", CRASH),
    "harnex.rehearsal.endpoint.answer": (
        "unit/rehearsal/endpoint/test_anthropic.py::test_an_anthropic_answer_is_the_script_and_the_bill_is_the_answer",
        BEHIND,
    ),
    "harnex.rehearsal.endpoint.listener": (
        "unit/rehearsal/endpoint/test_server.py::test_fifty_clients_at_once_take_a_step_each",
        BEHIND,
    ),
    "harnex.rehearsal.endpoint.side": (
        "unit/rehearsal/endpoint/test_side.py::test_side_calls_and_sub_agents_never_take_a_step",
        BEHIND,
    ),
    "harnex.rehearsal.tui.__main__": (
        "unit/agents/demo/test_adapter.py::test_a_turn_from_the_prompt_to_the_prompt",
        PROGRAM,
    ),
    "harnex.rehearsal.tui.agent": (
        "unit/agents/demo/test_adapter.py::test_a_turn_from_the_prompt_to_the_prompt",
        PROGRAM,
    ),
    "harnex.rehearsal.tui.app": (
        "unit/agents/demo/test_adapter.py::test_a_turn_from_the_prompt_to_the_prompt",
        PROGRAM,
    ),
    "harnex.rehearsal.tui.model": (
        "unit/agents/demo/test_adapter.py::test_the_endpoint_s_bill_is_what_the_events_say",
        PROGRAM,
    ),
    "harnex.rehearsal.tui.view": (
        "unit/agents/demo/test_adapter.py::test_a_turn_from_the_prompt_to_the_prompt",
        PROGRAM,
    ),
    "harnex.report.page": ("e2e/test_report.py::test_a_report_of_one_run", CLIENT),
    "harnex.report.style": ("e2e/test_report.py::test_a_report_in_a_browser", CLIENT),
    "harnex.report.timeline": ("e2e/test_report.py::test_a_report_of_one_run", CLIENT),
    "harnex.store.damaged": (
        "e2e/test_written.py::test_a_session_with_a_damaged_entry_is_seen_and_stopped",
        LIVE,
    ),
    "harnex.supervisor.__main__": ("e2e/test_session.py::test_the_main_job", PROGRAM),
    "harnex.supervisor.agent": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.supervisor.background": (
        "e2e/test_background.py::test_auto_stop_waits_for_what_runs_in_the_background",
        LIVE,
    ),
    "harnex.supervisor.boot": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.supervisor.conclusion": (
        "e2e/test_exec_end.py::test_the_answer_comes_at_once_and_the_process_is_ended",
        PIPES,
    ),
    "harnex.supervisor.deciding": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.supervisor.dispatch": (
        "e2e/test_safety.py::test_the_record_has_git_tokens_and_what_was_predicted",
        LIVE,
    ),
    "harnex.supervisor.hearing": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.supervisor.entry": ("e2e/test_fault_points.py::test_it_dies_as_it_starts", LIVE),
    "harnex.supervisor.ending": ("e2e/test_session.py::test_the_agents_own_ends", LIVE),
    "harnex.supervisor.filehook": ("e2e/test_watch.py::test_a_file_that_changes_is_told", LIVE),
    "harnex.supervisor.generations": ("e2e/test_strays.py::test_a_crash_that_the_watch_mends_takes_the_daemons", LIVE),
    "harnex.supervisor.headless": (
        "e2e/test_exec.py::test_the_prompt_arrives_whole_on_standard_input_and_nowhere_else",
        PIPES,
    ),
    "harnex.supervisor.jobs": ("e2e/test_watch.py::test_done_when_and_verify_and_turns", LIVE),
    "harnex.supervisor.measured": (
        "e2e/test_budgets.py::test_who_limits_nothing_is_told_once_what_is_missing",
        LIVE,
    ),
    "harnex.supervisor.notify": (
        "e2e/test_watch.py::test_people_are_told_and_a_notifier_that_fails_is_no_matter",
        LIVE,
    ),
    "harnex.supervisor.offspring": (
        "unit/supervisor/test_offspring.py::test_an_exit_status_that_is_waited_for_is_left_alone",
        PROGRAM,
    ),
    "harnex.supervisor.panes": ("e2e/test_terminal.py::test_pane_in_its_forms", LIVE),
    "harnex.supervisor.pipes": (
        "e2e/test_exec.py::test_the_prompt_arrives_whole_on_standard_input_and_nowhere_else",
        PIPES,
    ),
    "harnex.supervisor.processes": ("unit/supervisor/test_helpers.py::test_output_and_code_come_back", BEHIND),
    "harnex.supervisor.requests": ("e2e/test_session.py::test_the_main_job", LIVE),
    "harnex.supervisor.viewers": (
        "e2e/test_terminal.py::test_detach_leaves_it_running_and_attach_shows_it_again",
        LIVE,
    ),
    "harnex.supervisor.waiters": ("e2e/test_session.py::test_wait_cannot_return_on_the_turn_before", LIVE),
    "harnex.terminal.cells": ("unit/terminal/test_screen.py::test_styles", BEHIND),
    "harnex.terminal.emulator": ("unit/terminal/test_screen.py::test_sequences", BEHIND),
    "harnex.terminal.grid": ("unit/terminal/test_screen.py::test_sequences", BEHIND),
    "harnex.usage.chats": ("e2e/test_usage.py::test_other_sessions_files", CLIENT),
    "harnex.watch.checks": (
        "unit/watch/test_checks.py::test_verify_goes_back_to_the_agent_so_often_and_no_more",
        WATCH,
    ),
    "harnex.watch.dialogs": (
        "unit/watch/test_dialogs.py::test_a_dialog_asks_for_a_person_and_goes_on_after_them",
        WATCH,
    ),
    "harnex.watch.provider": ("unit/watch/test_provider.py::test_a_limit_is_waited_for_by_the_wall_clock", WATCH),
    "harnex.watch.restarts": ("unit/watch/test_restarts.py::test_an_agent_that_is_deaf_is_replaced_once", WATCH),
    "harnex.watch.stalls": (
        "unit/watch/test_stalls.py::test_a_turn_without_progress_is_cut_nudged_and_then_given_up",
        WATCH,
    ),
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def modules() -> set[str]:
    return {name_of(path) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}


def imports(source: str) -> set[str]:
    """Every name that an import in this source may mean as a module, function-level imports included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@cache
def imported() -> frozenset[str]:
    return frozenset(name for path in (TESTS / "unit").rglob("*.py") for name in imports(path.read_text()))


def functions_of(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_module_is_imported_by_a_unit_test_or_stands_in_the_table() -> None:
    assert sorted(modules() - imported() - set(HELD_BY)) == []


def test_no_entry_is_left_over() -> None:
    assert sorted(set(HELD_BY) - modules()) == [], "no such module"
    assert sorted(set(HELD_BY) & imported()) == [], "a unit test imports it now"


def test_the_tests_of_the_table_exist() -> None:
    named = {module: test.split("::") for module, (test, _) in HELD_BY.items()}
    missing = {m: test for m, (path, test) in named.items() if test not in functions_of(TESTS / path)}
    assert missing == {}


def test_imports_inside_of_functions_count() -> None:
    source = "import a.b\nfrom c.d import e\ndef f():\n    from g import h as i\n"
    assert imports(source) == {"a.b", "c.d", "c.d.e", "g", "g.h"}
