// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper: starts a program, waits for its end, starts it again. It was forked from ebb, and first
 * gives up everything of ebb's: descriptors, signals, terminal.
 *
 * It is a subreaper (prctl(2)): a program that goes to the background becomes its child, and so do all
 * that a program leaves behind. init, to which they would be left otherwise, may be a program that
 * reaps none, as in a container.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/backend/backend.h"
#include "vmm/lib/child.h"
#include "vmm/lib/clock.h"
#include "vmm/lib/pass_fd.h"

/* The time limit for a program to go to the background. */
#define READY_MS 30000
/*
 * The pause before the next start: doubled each time up to the maximum, reset once a program has
 * lived that long.
 */
#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS  30000

struct keeper {
	const struct backend_program *program;
	const void *config;
	char path[PATH_MAX];
	int control;
	int child_signal; /* a signalfd for SIGCHLD */
	uint32_t serial;  /* of the program that was started last */
	pid_t child;	  /* its first process; 0: it has ended */
	int status;	  /* of that one: waitpid(2) */
	int errors;	  /* what it says; -1: none */
	char said[8192];  /* the last line of that, with names of files perhaps */
	size_t said_len;
	bool line_ended; /* what comes next begins another line */
};

/* --- children -------------------------------------------------------------------------------- */

/* Calls @kill_it for each child of @pid. */
static void each_child(pid_t pid, void (*kill_it)(pid_t child))
{
	char path[64];
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &child) == 1)
		kill_it(child);
	if (children)
		fclose(children);
}

static void kill_one(pid_t pid)
{
	kill(pid, SIGKILL);
}

/*
 * What it has started first: QEMU's virtiofsd serves in a child, the first process of a namespace,
 * which takes no other signal; and its parent only waits.
 */
static void kill_tree(pid_t pid)
{
	each_child(pid, kill_one);
	kill_one(pid);
}

/* The process that a first process left behind can only be found here. */
static void kill_children(void)
{
	each_child(getpid(), kill_tree);
}

static void ask_to_end(pid_t pid)
{
	kill(pid, SIGTERM);
}

/* Returns when no child is left, or after @ms. */
static void stop_gently(int child_signal, unsigned int ms)
{
	uint64_t limit = clock_ns() + ms * NS_PER_MS, now;
	struct signalfd_siginfo info;
	pid_t pid;

	each_child(getpid(), ask_to_end);
	while ((now = clock_ns()) < limit) {
		struct pollfd ended = {.fd = child_signal, .events = POLLIN};
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (pid < 0)
			return;
		poll(&ended, 1, (int)((limit - now) / NS_PER_MS) + 1);
		while (read(child_signal, &info, sizeof(info)) == sizeof(info))
			;
	}
}

/* Ebb, which waits for the keeper, returns when the program's ports, locks and memory are free again. */
static _Noreturn void end(const struct keeper *keeper)
{
	if (keeper->program->stop_ms)
		stop_gently(keeper->child_signal, keeper->program->stop_ms);
	do
		kill_children();
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
	_exit(0);
}

/* Returns whether a child is left. Reaps those that have ended. */
static bool program_lives(struct keeper *keeper)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != keeper->child)
			continue;
		keeper->child = 0;
		keeper->status = status;
	}
	return pid == 0;
}

/* --- messages -------------------------------------------------------------------------------- */

/* Sends ebb the socket @fd, or the reason @why there is none. */
static void tell(const struct keeper *keeper, int fd, const char *why)
{
	struct backend_message note = {.serial = keeper->serial, .error = fd < 0};

	if (fd < 0)
		snprintf(note.why, sizeof(note.why), "%s", why);
	/* This fails if ebb has ended; the next recv() finds that out. */
	pass_fd_send(keeper->control, &note, sizeof(note), fd);
	if (fd >= 0)
		close(fd);
}

/* Handles a message: ebb asks to end the current program, or has ended. */
static void hear(const struct keeper *keeper)
{
	uint32_t serial;
	ssize_t got = recv(keeper->control, &serial, sizeof(serial), MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		end(keeper);
	if (got == sizeof(serial) && serial == keeper->serial)
		kill_children();
}

/* Leaves out the program's name, which ebb says itself, and the option that QEMU repeats before its reason. */
static const char *reason_in(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0 || strncmp(line + len, ": ", 2) != 0)
		return line;
	line += len + 2;
	const char *rest = strncmp(line, "--", 2) == 0 ? strstr(line, ": ") : NULL;
	return rest ? rest + 2 : line;
}

/* Keeps the last line of what the program says; the lines before only lead to it. */
static void listen_to(struct keeper *keeper)
{
	char text[1024];
	ssize_t len;

	while (keeper->errors >= 0 && (len = read(keeper->errors, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < len; i++) {
			if (text[i] == '\n') {
				keeper->line_ended = true;
				continue;
			}
			if (keeper->line_ended)
				keeper->said_len = 0;
			keeper->line_ended = false;
			if (keeper->said_len + 1 < sizeof(keeper->said))
				keeper->said[keeper->said_len++] = text[i];
			keeper->said[keeper->said_len] = '\0';
		}
	}
}

static void stop_listening(struct keeper *keeper)
{
	listen_to(keeper);
	if (keeper->errors >= 0)
		close(keeper->errors);
	keeper->errors = -1;
}

/* --- keeping --------------------------------------------------------------------------------- */

/* Waits up to @ms (-1: without a limit) for anything that concerns the keeper, and handles all but the end. */
static void wait_for_news(struct keeper *keeper, int ms)
{
	struct signalfd_siginfo info;
	struct pollfd fds[] = {{.fd = keeper->control, .events = POLLIN},
			       {.fd = keeper->child_signal, .events = POLLIN},
			       {.fd = keeper->errors, .events = POLLIN}};

	if (poll(fds, 3, ms) < 0) {
		if (errno != EINTR)
			end(keeper);
		return;
	}
	if (fds[0].revents)
		hear(keeper);
	if (fds[2].revents & POLLIN)
		listen_to(keeper);
	else if (fds[2].revents)
		stop_listening(keeper); /* the program has closed it: wait for its end only */
	while (read(keeper->child_signal, &info, sizeof(info)) == sizeof(info))
		;
}

/* Sets @why to the reason for the end of the program's first process. */
static void explain(const struct keeper *keeper, char why[BACKEND_WHY_SIZE])
{
	if (keeper->said[0])
		snprintf(why, BACKEND_WHY_SIZE, "%.*s", BACKEND_WHY_SIZE - 1,
			 reason_in(keeper->said, keeper->program->name));
	else if (WIFSIGNALED(keeper->status))
		snprintf(why, BACKEND_WHY_SIZE, "it died of signal %d", WTERMSIG(keeper->status));
	else
		snprintf(why, BACKEND_WHY_SIZE,
			 "it ended with status %d, and it says nothing of why",
			 WEXITSTATUS(keeper->status));
}

/* Waits until no process of the program is left. */
static void wait_for_end(struct keeper *keeper)
{
	bool in_front = keeper->child > 0;

	while (program_lives(keeper)) {
		/* What it leaves behind serves nobody. */
		if (in_front && !keeper->child)
			kill_children();
		wait_for_news(keeper, -1);
	}
	stop_listening(keeper);
}

/* Waits until the program is in the background. Returns 0, or -1 with @why set. */
static int wait_until_ready(struct keeper *keeper, char why[BACKEND_WHY_SIZE])
{
	uint64_t limit = clock_ns() + READY_MS * NS_PER_MS, now;

	program_lives(keeper);
	while (keeper->child && (now = clock_ns()) < limit) {
		wait_for_news(keeper, (int)((limit - now) / NS_PER_MS) + 1);
		program_lives(keeper);
	}
	stop_listening(keeper);
	if (keeper->child) {
		kill_children();
		snprintf(why, BACKEND_WHY_SIZE, "it is not ready after %d seconds",
			 READY_MS / 1000);
		return -1;
	}
	if (WIFEXITED(keeper->status) && WEXITSTATUS(keeper->status) == 0)
		return 0;
	explain(keeper, why);
	return -1;
}

/* Returns the socket to a program that was started, or -1 with @why set. */
static int start(struct keeper *keeper, char why[BACKEND_WHY_SIZE])
{
	int errors[2], fd = -1;

	keeper->serial++;
	keeper->said[0] = '\0';
	keeper->said_len = 0;
	keeper->line_ended = false;
	if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) == 0) {
		keeper->errors = errors[0];
		fd = backend_launch(keeper->program, keeper->path, keeper->config, errors[1],
				    &keeper->child);
		close(errors[1]);
	}
	if (fd < 0) {
		snprintf(why, BACKEND_WHY_SIZE, "%s", strerror(errno));
		stop_listening(keeper);
		return -1;
	}
	if (!keeper->program->background || wait_until_ready(keeper, why) == 0)
		return fd;
	close(fd);
	return -1;
}

/* Waits before the next start, but ends at once if ebb has ended. */
static void pause_for(struct keeper *keeper, int ms)
{
	uint64_t until = clock_ns() + (uint64_t)ms * NS_PER_MS, now;

	while ((now = clock_ns()) < until)
		wait_for_news(keeper, (int)((until - now) / NS_PER_MS) + 1);
}

/* Nothing helps: waits until ebb has read why. */
static _Noreturn void give_up(struct keeper *keeper)
{
	char why[BACKEND_WHY_SIZE];

	snprintf(why, sizeof(why), "it is not installed; Debian's package is %s",
		 keeper->program->package);
	tell(keeper, -1, why);
	for (;;)
		pause_for(keeper, PAUSE_LAST_MS);
}

void backend_keep(const struct backend_program *program, const void *config, int control)
{
	struct keeper keeper = {
		.program = program, .config = config, .control = CHILD_CONTROL, .errors = -1};
	int pause = PAUSE_FIRST_MS;
	char why[BACKEND_WHY_SIZE];
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	child_begin(program->keeper, control, &child, false);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	keeper.child_signal = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!backend_find(program, keeper.path))
		give_up(&keeper);
	for (;;) {
		uint64_t started = clock_ns();
		int fd = start(&keeper, why);
		bool runs = fd >= 0;
		tell(&keeper, fd, why);
		wait_for_end(&keeper);
		if (runs && !program->background) {
			explain(&keeper, why);
			tell(&keeper, -1, why);
		}
		if (clock_ns() - started >= PAUSE_LAST_MS * NS_PER_MS)
			pause = PAUSE_FIRST_MS;
		pause_for(&keeper, pause);
		pause = pause * 2 < PAUSE_LAST_MS ? pause * 2 : PAUSE_LAST_MS;
	}
}
