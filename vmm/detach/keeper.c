// SPDX-License-Identifier: Apache-2.0
/* The keeper: it was forked from ebb before the guest had memory, and has nothing of the guest but its streams. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/detach/detach.h"
#include "vmm/detach/hub.h"
#include "vmm/detach/turned_log.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"
#include "vmm/lib/pass_fd.h"
#include "vmm/lib/write_all.h"

struct keeper {
	struct loop loop;
	struct loop_source output, errors, ready, caller; /* fd: -1: ended */
	pid_t guest;
	struct turned_log log;
	struct hub hub;
	bool mid_line; /* a line of the guest's or of its ebb's has not ended yet */
};

static void source_end(struct keeper *keeper, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	loop_remove(&keeper->loop, source);
	close(source->fd);
	source->fd = -1;
}

static bool is_awaited(const struct keeper *keeper)
{
	return keeper->caller.fd >= 0;
}

/* Tells the caller, who waits no longer; from now on nothing is kept of its streams. */
static void tell(struct keeper *keeper, int status)
{
	const struct detach_result result = {keeper->guest, status};
	if (!is_awaited(keeper))
		return;
	send(keeper->caller.fd, &result, sizeof(result), MSG_NOSIGNAL);
	source_end(keeper, &keeper->caller);
	dup2(STDOUT_FILENO, STDERR_FILENO);
}

/* --- what the guest's process says -------------------------------------------------------------- */

/* Reads once. Returns the bytes; ends the source at the end of the stream. */
static size_t take(struct keeper *keeper, struct loop_source *source, uint8_t *data, size_t size)
{
	ssize_t len = read(source->fd, data, size);
	if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR))
		source_end(keeper, source);
	if (keeper->output.fd < 0 && keeper->errors.fd < 0)
		loop_stop(&keeper->loop);
	return len > 0 ? (size_t)len : 0;
}

static void pass_on(struct keeper *keeper, const uint8_t *data, size_t len)
{
	turned_log_write(&keeper->log, data, len);
	hub_output(&keeper->hub, data, len);
	if (len)
		keeper->mid_line = data[len - 1] != '\n';
}

static void output_ready(void *ctx)
{
	struct keeper *keeper = ctx;
	uint8_t data[4096];
	pass_on(keeper, data, take(keeper, &keeper->output, data, sizeof(data)));
}

/* While the caller waits, it is told what is wrong. */
static void errors_ready(void *ctx)
{
	struct keeper *keeper = ctx;
	uint8_t data[4096];
	size_t len = take(keeper, &keeper->errors, data, sizeof(data));
	pass_on(keeper, data, len);
	if (is_awaited(keeper))
		write_all(STDERR_FILENO, data, len);
}

/* The guest runs: its process sends the socket for the console's clients. */
static void ready_ready(void *ctx)
{
	struct keeper *keeper = ctx;
	char byte = 0;
	int listener;
	ssize_t got = pass_fd_receive(keeper->ready.fd, &byte, 1, &listener);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	source_end(keeper, &keeper->ready);
	if (listener < 0)
		return; /* it failed: the end of its streams follows */
	if (hub_listen(&keeper->hub, listener) != 0)
		log_warn("the console of the guest cannot be attached to");
	/* What it has said so far is for the caller. */
	if (keeper->errors.fd >= 0)
		errors_ready(keeper);
	tell(keeper, 0);
}

/* The caller does not wait any more: a Ctrl-C while the guest was started. */
static void caller_ready(void *ctx)
{
	struct keeper *keeper = ctx;
	source_end(keeper, &keeper->caller);
	kill(keeper->guest, SIGTERM);
}

/* --- its life ----------------------------------------------------------------------------------- */

/* What the caller left open, an end of a pipe perhaps, must not stay open as long as the guest runs. */
static void close_others(const struct keeper_ends *ends)
{
	const int kept[] = {ends->output, ends->errors, ends->input, ends->ready, ends->caller};
	unsigned int from = STDERR_FILENO + 1;

	for (;;) {
		unsigned int next = ~0U;
		for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
			if ((unsigned int)kept[i] >= from && (unsigned int)kept[i] < next)
				next = (unsigned int)kept[i];
		if (next > from)
			syscall(SYS_close_range, from, next - (next != ~0U), 0);
		if (next == ~0U)
			return;
		from = next + 1;
	}
}

static void let_go(const struct keeper_ends *ends)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL}, ignored = {.sa_handler = SIG_IGN};
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
	sigaction(SIGPIPE, &ignored, NULL);
	sigaction(SIGXFSZ, &ignored, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close_others(ends);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	prctl(PR_SET_NAME, "console-keeper");
}

static int open_log(struct keeper *keeper, const char *name, const char *path)
{
	char own[VM_NAME_MAX + 1], found[PATH_MAX];

	snprintf(own, sizeof(own), "guest-%d", keeper->guest);
	if (!path && turned_log_default(found, sizeof(found), name ? name : own) != 0)
		return -ENOENT;
	int error = turned_log_open(&keeper->log, path ? path : found);
	/* A directory that is kept open could not be unmounted. */
	return error || chdir("/") == 0 ? error : -errno;
}

static int add_sources(struct keeper *keeper, const struct keeper_ends *ends)
{
	keeper->output = (struct loop_source){ends->output, output_ready, keeper};
	keeper->errors = (struct loop_source){ends->errors, errors_ready, keeper};
	keeper->ready = (struct loop_source){ends->ready, ready_ready, keeper};
	keeper->caller = (struct loop_source){ends->caller, caller_ready, keeper};
	struct loop_source *const sources[] = {&keeper->output, &keeper->errors, &keeper->ready,
					       &keeper->caller};
	int error = loop_init(&keeper->loop);
	for (size_t i = 0; !error && i < sizeof(sources) / sizeof(sources[0]); i++) {
		fcntl(sources[i]->fd, F_SETFL, fcntl(sources[i]->fd, F_GETFL) | O_NONBLOCK);
		error = loop_add(&keeper->loop, sources[i]);
	}
	fcntl(ends->input, F_SETFL, fcntl(ends->input, F_GETFL) | O_NONBLOCK);
	hub_init(&keeper->hub, &keeper->loop, ends->input);
	return error;
}

/* The exit status of the guest's process, as a shell tells it. */
static int await_guest(pid_t guest)
{
	int status = 0;
	while (waitpid(guest, &status, 0) < 0 && errno == EINTR)
		;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void detach_keep(const struct keeper_ends *ends, const char *name, const char *log)
{
	struct keeper keeper = {.guest = ends->guest, .log = {.directory = -1, .fd = -1}};

	let_go(ends);
	int error = add_sources(&keeper, ends);
	if (!error)
		error = open_log(&keeper, name, log);
	if (error) {
		kill(keeper.guest, SIGTERM);
		tell(&keeper, 2);
	} else {
		loop_run(&keeper.loop);
	}
	int status = await_guest(keeper.guest);
	char line[64];
	int len = snprintf(line, sizeof(line), "%sebb: ended with status %d\r\n",
			   keeper.mid_line ? "\r\n" : "", status);
	pass_on(&keeper, (const uint8_t *)line, (size_t)len);
	tell(&keeper, status);
	hub_release(&keeper.hub);
	_exit(0);
}
