// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/sandbox_session.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/agent/keys.h"
#include "vmm/cmd/cmd.h"
#include "vmm/lib/log.h"
#include "vmm/lib/terminal.h"

/* --- the command ----------------------------------------------------------------------------- */

static bool given(const struct sandbox_request *request, const char *name, size_t len,
		  unsigned int from)
{
	for (unsigned int i = from; i < request->environments; i++) {
		const char *other = request->environment[i];
		if (strncmp(other, name, len) == 0 && (other[len] == '=' || !other[len]))
			return true;
	}
	return false;
}

static void add_variable(struct command *command, const char *name, const char *value)
{
	char *text;

	if (asprintf(&text, "%s=%s", name, value) < 0) {
		command->error = -ENOMEM;
		return;
	}
	command_add(command, AGENT_ENVIRONMENT, text);
	free(text);
}

/* Nothing of this environment that was not asked for. */
static void add_environment(struct command *command, const struct sandbox_request *request,
			    enum agent_terminal terminal)
{
	static const char *const own[][2] = {
		{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"HOME", "/root"},
		{"USER", "root"},
		{"LOGNAME", "root"},
		{"SHELL", "/bin/sh"},
	};
	const char *term = getenv("TERM");

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!given(request, own[i][0], strlen(own[i][0]), 0))
			add_variable(command, own[i][0], own[i][1]);
	if (terminal && term && !given(request, "TERM", 4, 0))
		add_variable(command, "TERM", term);
	for (unsigned int i = 0; i < request->environments; i++) {
		const char *text = request->environment[i], *value;
		size_t len = strcspn(text, "=");
		/* The last one counts. */
		if (given(request, text, len, i + 1))
			continue;
		if (text[len])
			command_add(command, AGENT_ENVIRONMENT, text);
		else if ((value = getenv(text)))
			add_variable(command, text, value);
	}
}

void sandbox_describe(struct command *command, const struct sandbox_request *request,
		      enum agent_terminal terminal)
{
	for (char **word = request->command; *word; word++)
		command_add(command, AGENT_ARGUMENT, *word);
	add_environment(command, request, terminal);
	command_add(command, AGENT_FOLDER, request->folder);
	for (unsigned int i = 0; i < request->files.dirs; i++) {
		const struct files_dir *dir = &request->files.dir[i];
		command_add(command, dir->access == FILES_LAYERED ? AGENT_LAYERED_DIR : AGENT_DIR,
			    dir->path);
	}
}

static int finish(struct command *command, const struct sandbox_session *session)
{
	enum agent_terminal terminal = session->terminal;
	struct agent_command head = {.terminal = terminal, .network = session->network};
	struct winsize size;

	if (terminal && ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
		head.rows = size.ws_row;
		head.columns = size.ws_col;
	}
	int error = command_finish(command, &head);
	if (error == -E2BIG)
		log_error("the command's arguments and variables take more than %u MiB",
			  AGENT_RECORDS_MAX >> 20);
	else if (error)
		log_error("out of memory");
	return error;
}

/* --- the end --------------------------------------------------------------------------------- */

/* Returns the last line of @text that is not empty and contains @word, cut out of it; or NULL. */
static const char *last_line(char *text, const char *word)
{
	for (;;) {
		char *line = strrchr(text, '\n');
		line = line ? line + 1 : text;
		line[strcspn(line, "\r")] = '\0';
		if (*line && strstr(line, word))
			return line;
		if (line == text)
			return NULL;
		line[-1] = '\0';
	}
}

static int reported(struct session_result *result, const struct sandbox_request *request)
{
	const char *why, *agent = "ebb-agent: ";
	int value = (int)result->report.value;

	switch (result->report.kind) {
	case AGENT_EXITED:
		return value;
	case AGENT_KILLED:
		return EXIT_SIGNAL + value;
	case AGENT_NOT_RUN:
		log_error("cannot run %s: %s", request->command[0], strerror(value));
		return value == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	default:
		why = last_line(result->console, agent);
		log_error("the guest did not come to the command: %s",
			  why ? strstr(why, agent) + strlen(agent) : strerror(value));
		return EXIT_SANDBOX;
	}
}

int sandbox_conclude(struct session_result *result, const struct sandbox_request *request,
		     int status)
{
	const char *last = "";

	if (result->end == SESSION_REPORTED)
		return reported(result, request);
	if (result->end == SESSION_SIGNALLED)
		return EXIT_SIGNAL + result->signal;
	if (result->end == SESSION_GUEST_DIED && status == EXIT_NOT_STARTED)
		return EXIT_SANDBOX;
	if (result->end == SESSION_BROKEN) {
		log_error("the guest sent what is no report of a command's end; it was ended");
		return EXIT_SANDBOX;
	}
	last = last_line(result->console, "");
	if (result->end == SESSION_LATE)
		log_error("the guest did not come to the command within %lld s; its last words: %s",
			  (long long)result->took_ms / 1000, last ? last : "none");
	else
		log_error("the guest ended before the command did; its last words: %s",
			  last ? last : "none");
	return EXIT_SANDBOX;
}

enum agent_terminal sandbox_terminal(void)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !terminal_is_ours(STDIN_FILENO))
		return AGENT_PIPES;
	return isatty(STDERR_FILENO) ? AGENT_TERMINAL : AGENT_TERMINAL_BUT_ERRORS;
}

int sandbox_session(const struct sandbox_session *session, struct command *command,
		    struct session_result *result)
{
	const struct session_config config = {
		.sockets = session->sockets,
		.command = command,
		.terminal = session->terminal,
		.guest = session->guest,
		.pid = session->pid,
		.hangs_up = session->hangs_up,
		.console = session->console,
		.start_ms = SESSION_START_S * 1000,
		.grace_ms = SESSION_GRACE_MS,
		.signals = session->signals,
	};

	int error = finish(command, session);
	if (error) {
		close(session->console);
		return error;
	}
	error = session->terminal ? keys_raw() : 0;
	if (error) {
		log_error("cannot set up the terminal: %s", strerror(-error));
		close(session->console);
		return error;
	}
	signal(SIGPIPE, SIG_IGN);
	error = session_run(&config, result);
	terminal_restore();
	return error;
}
