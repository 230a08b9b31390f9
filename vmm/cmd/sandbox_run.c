// SPDX-License-Identifier: Apache-2.0
/*
 * Two processes. The child is a guest as of `ebb run`, with the same sandbox around it; of the user's streams it has
 * standard error, to write its own messages. This one has those, and nothing of the guest but sockets: it passes bytes on and ends the child.
 *
 * The child is in a session of its own, so that no key of the terminal reaches it; it ends with this process,
 * however that ends.
 */
#include "vmm/cmd/sandbox_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/agent/keys.h"
#include "vmm/agent/session.h"
#include "vmm/cmd/cmd.h"
#include "vmm/cmd/run.h"
#include "vmm/config/config.h"
#include "vmm/console/terminal.h"
#include "vmm/lib/fatal.h"
#include "vmm/lib/log.h"

/* How long the guest's process may take to end; it takes milliseconds, unless the host hangs. */
#define STOP_MS 15000

struct guest_process {
	char dir[32];		   /* of our own, in /tmp */
	char vsock[64], place[64]; /* in it: the guest's socket; where the view of the files is */
	struct session_sockets sockets;
	sigset_t signals, before;
	pid_t pid;
	int pidfd;
	int console;
	enum agent_terminal terminal;
};

/* --- files of our own ------------------------------------------------------------------------ */

static void remove_files(struct guest_process *guest)
{
	session_close(&guest->sockets, true);
	unlink(guest->vsock);
	rmdir(guest->place);
	rmdir(guest->dir);
}

static int make_files(struct guest_process *guest)
{
	snprintf(guest->dir, sizeof(guest->dir), "/tmp/ebb-sandbox-XXXXXX");
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		guest->sockets.fd[i] = -1;
	if (!mkdtemp(guest->dir)) {
		log_error("cannot make a folder in /tmp: %s", strerror(errno));
		return -errno;
	}
	snprintf(guest->vsock, sizeof(guest->vsock), "%s/v", guest->dir);
	snprintf(guest->place, sizeof(guest->place), "%s/files", guest->dir);
	int error = mkdir(guest->place, 0700) < 0 ? -errno : 0;
	if (error)
		log_error("cannot make the folder %s: %s", guest->place, strerror(-error));
	else
		error = session_listen(&guest->sockets, guest->vsock);
	return error;
}

/* --- the guest's process --------------------------------------------------------------------- */

/* Returns 0, or a negative value after an error message. */
static int configure(struct vm_config *config, struct sandbox_request *request,
		     const struct guest_process *guest)
{
	char folder[128], vsock[128], error[512];
	char *words[SANDBOX_OPTIONS_MAX + 8];
	unsigned int count = 0;

	snprintf(folder, sizeof(folder), "--fs=%s,tag=" AGENT_TAG, guest->place);
	snprintf(vsock, sizeof(vsock), "--vsock=%s", guest->vsock);
	for (; count < request->options; count++)
		words[count] = request->option[count];
	words[count++] = folder;
	words[count++] = vsock;
	words[count++] = (char *)"--params=quiet rdinit=/bin/ebb-agent";
	if (!request->network)
		words[count++] = (char *)"--network=none";
	if (config_parse(config, (int)count, words, error, sizeof(error)) != CONFIG_RUN) {
		log_error("%s", error);
		return -EINVAL;
	}
	config->folders.folder[0].parts = request->files.part;
	return 0;
}

/* Wipes what of the user's variables ebb and its backends do not need: an attacker inside ebb could read them. */
static void forget_environment(void)
{
	static const char *const kept[] = {
		"PATH=", "HOME=", "EBB_RUNTIME_DIR=", "XDG_RUNTIME_DIR="};
	char **to = environ;

	for (char **from = environ; *from; from++) {
		bool keep = false;
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			keep |= strncmp(*from, kept[i], strlen(kept[i])) == 0;
		if (keep)
			*to++ = *from;
		else
			explicit_bzero(*from, strlen(*from));
	}
	*to = NULL;
}

/* Standard error on a terminal can be read, too: what is typed there. Opened again, it can be written only. */
static void make_errors_write_only(int null)
{
	if (!isatty(STDERR_FILENO))
		return;
	int errors = open("/proc/self/fd/2", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	dup2(errors < 0 ? null : errors, STDERR_FILENO);
	if (errors >= 0)
		close(errors);
}

/* In the child. */
static _Noreturn void become_guest(struct guest_process *guest, struct vm_config *config,
				   pid_t parent, int console)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_NOT_STARTED);
	dup2(null, STDIN_FILENO);
	dup2(console, STDOUT_FILENO);
	make_errors_write_only(null);
	forget_environment();
	close(null);
	close(console);
	session_close(&guest->sockets, false);
	sigprocmask(SIG_SETMASK, &guest->before, NULL);
	_exit(run_guest(config));
}

static int start_guest(struct guest_process *guest, struct vm_config *config)
{
	int console[2] = {-1, -1};
	pid_t parent = getpid();

	guest->pid = pipe2(console, O_CLOEXEC) < 0 ? -1 : fork();
	if (guest->pid == 0) {
		close(console[0]);
		become_guest(guest, config, parent, console[1]);
	}
	int error = guest->pid < 0 ? -errno : 0;
	close(console[1]);
	guest->console = console[0];
	if (!error) {
		fcntl(console[0], F_SETFL, O_NONBLOCK);
		guest->pidfd = (int)syscall(SYS_pidfd_open, guest->pid, 0);
		error = guest->pidfd < 0 ? -errno : 0;
	}
	if (error) {
		close(console[0]);
		log_error("cannot start a process for the guest: %s", strerror(-error));
	}
	return error;
}

/* Returns the process's exit status. */
static int stop_guest(struct guest_process *guest)
{
	struct pollfd ended = {.fd = guest->pidfd, .events = POLLIN};
	int status = 0;

	if (guest->pid <= 0)
		return EXIT_NOT_STARTED;
	kill(guest->pid, SIGTERM);
	if (guest->pidfd < 0 || poll(&ended, 1, STOP_MS) <= 0)
		kill(guest->pid, SIGKILL);
	while (waitpid(guest->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (guest->pidfd >= 0)
		close(guest->pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_GUEST_FAILED;
}

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

static int describe(struct command *command, const struct sandbox_request *request,
		    enum agent_terminal terminal)
{
	struct agent_command head = {.terminal = terminal, .network = request->network};
	struct winsize size;

	for (char **word = request->command; *word; word++)
		command_add(command, AGENT_ARGUMENT, *word);
	add_environment(command, request, terminal);
	command_add(command, AGENT_FOLDER, request->folder);
	for (unsigned int i = 0; i < request->files.dirs; i++)
		command_add(command, AGENT_DIR, request->files.dir[i].path);
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

/* @status is that of the guest's process, which has said itself why it could not start. */
static int conclude(struct session_result *result, const struct sandbox_request *request,
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
		log_error("the guest did not come to the command within %d s; its last words: %s",
			  SESSION_START_S, last ? last : "none");
	else
		log_error("the guest ended before the command did; its last words: %s",
			  last ? last : "none");
	return EXIT_SANDBOX;
}

static int with_guest(struct guest_process *guest, const struct sandbox_request *request,
		      const struct command *command)
{
	struct session_result result;
	const struct session_config session = {
		.sockets = &guest->sockets,
		.command = command,
		.terminal = guest->terminal,
		.guest = guest->pidfd,
		.console = guest->console,
		.grace_ms = SESSION_GRACE_MS,
		.signals = &guest->signals,
	};

	int error = guest->terminal ? keys_raw() : 0;
	if (error) {
		log_error("cannot set up the terminal: %s", strerror(-error));
		close(guest->console);
		stop_guest(guest);
		return EXIT_SANDBOX;
	}
	error = session_run(&session, &result);
	terminal_restore();
	int status = stop_guest(guest);
	return error ? EXIT_SANDBOX : conclude(&result, request, status);
}

static enum agent_terminal find_terminal(void)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !terminal_is_ours(STDIN_FILENO))
		return AGENT_PIPES;
	return isatty(STDERR_FILENO) ? AGENT_TERMINAL : AGENT_TERMINAL_BUT_ERRORS;
}

static void undo(void *guest)
{
	remove_files(guest);
}

int sandbox_run(struct sandbox_request *request)
{
	struct guest_process guest = {.pidfd = -1};
	struct vm_config *config = malloc(sizeof(*config));
	struct command command = {0};
	struct fatal_undo forget = {undo, &guest, NULL};
	int status = EXIT_SANDBOX;

	guest.terminal = find_terminal();
	session_signals(&guest.signals);
	sigprocmask(SIG_BLOCK, &guest.signals, &guest.before);
	if (!config) {
		log_error("out of memory");
		return EXIT_SANDBOX;
	}
	fatal_undo_add(&forget);
	/* The guest's process is made before the command's variables are collected: it has none of them. */
	if (make_files(&guest) == 0 && configure(config, request, &guest) == 0 &&
	    start_guest(&guest, config) == 0 && describe(&command, request, guest.terminal) == 0) {
		/* Only now: the guest's process keeps what it was. */
		signal(SIGPIPE, SIG_IGN);
		status = with_guest(&guest, request, &command);
	} else {
		stop_guest(&guest);
	}
	remove_files(&guest);
	fatal_undo_remove(&forget);
	command_release(&command);
	free(config);
	return status;
}
