// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper: starts passt, waits for its end, starts it again. It was forked from ebb, and first
 * gives up everything of ebb's: descriptors, signals, terminal.
 *
 * passt goes to the background when it is ready: its first process then ends with status 0, and the one that serves becomes
 * a child of the keeper, which is a subreaper (prctl(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/passt/passt.h"

/* The time limit for passt to be ready. */
#define READY_MS 30000
/*
 * The pause before the next start: doubled each time up to the maximum, reset once a passt has
 * lived that long.
 */
#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS  30000

struct keeper {
	const struct passt_config *config;
	int control;
	int child_signal; /* a signalfd for SIGCHLD */
	uint32_t serial;  /* of the passt that was started last */
};

/* --- becoming a keeper ----------------------------------------------------------------------- */

static void let_go(int control)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL};
	sigset_t none;

	/* Move it out of the way of the three standard streams. */
	control = fcntl(control, F_DUPFD, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* No key of the terminal may end it before ebb, and it may not keep ebb's pipes open. */
	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	/* At a known number, so that all other descriptors can be closed. */
	if (control != 3)
		dup2(control, 3);
	syscall(SYS_close_range, 4U, ~0U, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "passt-keeper");
}

/* --- children -------------------------------------------------------------------------------- */

/* Returns whether a child is left. Reaps those that have ended. */
static bool passt_lives(void)
{
	pid_t pid;
	do
		pid = waitpid(-1, NULL, WNOHANG);
	while (pid > 0);
	return pid == 0;
}

/* The process that passt's first process left behind can only be found here. */
static void kill_children(void)
{
	char path[64];
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	FILE *children = fopen(path, "re");
	if (!children)
		return; /* passt ends by itself: its socket is closed */
	while (fscanf(children, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	fclose(children);
}

/*
 * Waits for its children: init, to which they would be left, may be a program that reaps none, as in
 * a container; and ebb, which waits for the keeper, returns when passt's ports are free again.
 */
static _Noreturn void end(void)
{
	do
		kill_children();
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
	_exit(0);
}

/* Handles a message: ebb asks to give up the current passt, or has ended. */
static void hear(const struct keeper *keeper)
{
	uint32_t serial;
	ssize_t got = recv(keeper->control, &serial, sizeof(serial), MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		end();
	if (got == sizeof(serial) && serial == keeper->serial)
		kill_children();
}

/* Waits until @fd is readable. Returns false after @ms. */
static bool wait_for(int fd, int ms)
{
	struct pollfd readable = {.fd = fd, .events = POLLIN};
	uint64_t end = clock_ns() + (uint64_t)ms * NS_PER_MS;

	for (;;) {
		int n = poll(&readable, 1, ms);
		if (n >= 0 || errno != EINTR)
			return n > 0;
		uint64_t now = clock_ns();
		ms = now < end ? (int)((end - now) / NS_PER_MS) : 0;
	}
}

/* --- one start ------------------------------------------------------------------------------- */

static _Noreturn void become_passt(const struct passt_config *config, int stream, int errors)
{
	const char *argv[PASST_ARGUMENTS_MAX];
	char fd[16], mtu[16];
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(errors, STDERR_FILENO);
	snprintf(fd, sizeof(fd), "%d", stream);
	passt_arguments(config, fd, mtu, argv);
	fcntl(stream, F_SETFD, 0);
	execvp(argv[0], (char *const *)argv);
	if (errno == ENOENT)
		dprintf(STDERR_FILENO, "it is not installed; Debian's package is passt\n");
	else
		dprintf(STDERR_FILENO, "%s\n", strerror(errno));
	_exit(127);
}

/*
 * The last line says why passt ended; those before are of no use, such as that it is no longer
 * root.
 */
static void read_reason(int errors, char why[PASST_WHY_SIZE])
{
	char text[2048];
	ssize_t len = read(errors, text, sizeof(text) - 1);

	while (len > 0 && text[len - 1] == '\n')
		len--;
	text[len > 0 ? len : 0] = '\0';
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	snprintf(why, PASST_WHY_SIZE, "%.*s", PASST_WHY_SIZE - 1,
		 *line ? line : "it says nothing of why");
}

/* Waits until the process @ended has ended, but ends itself if ebb has. Returns false after READY_MS. */
static bool wait_ended(const struct keeper *keeper, int ended)
{
	struct pollfd fds[] = {{.fd = ended, .events = POLLIN},
			       {.fd = keeper->control, .events = POLLIN}};
	uint64_t limit = clock_ns() + READY_MS * NS_PER_MS;
	uint64_t now;

	while ((now = clock_ns()) < limit) {
		if (poll(fds, 2, (int)((limit - now) / NS_PER_MS) + 1) <= 0)
			continue;
		if (fds[0].revents)
			return true;
		hear(keeper);
	}
	return false;
}

/* Waits until passt is in the background. Returns 0, or -1 with @why set. */
static int wait_until_ready(const struct keeper *keeper, pid_t pid, int errors,
			    char why[PASST_WHY_SIZE])
{
	int status = 0;
	int ended = (int)syscall(SYS_pidfd_open, pid, 0);
	bool in_time = ended >= 0 && wait_ended(keeper, ended);

	if (ended >= 0)
		close(ended);
	if (!in_time) {
		kill_children();
		waitpid(pid, NULL, 0);
		snprintf(why, PASST_WHY_SIZE, "it is not ready after %d seconds", READY_MS / 1000);
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		snprintf(why, PASST_WHY_SIZE, "it died of signal %d", WTERMSIG(status));
	else
		read_reason(errors, why);
	return -1;
}

/* Returns a socket to a passt that is ready, or -1 with @why set. */
static int start_passt(const struct keeper *keeper, char why[PASST_WHY_SIZE])
{
	int pair[2] = {-1, -1}, errors[2] = {-1, -1}, result = -1;
	pid_t pid = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0 &&
	    pipe2(errors, O_CLOEXEC | O_NONBLOCK) == 0)
		pid = fork();
	if (pid == 0)
		become_passt(keeper->config, pair[1], errors[1]);
	if (pid < 0)
		snprintf(why, PASST_WHY_SIZE, "%s", strerror(errno));
	else if (wait_until_ready(keeper, pid, errors[0], why) == 0)
		result = pair[0];
	/* Only ebb and passt may hold the socket: when one ends, the other is told. */
	const int done[] = {pair[1], errors[0], errors[1], result < 0 ? pair[0] : -1};
	for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
		if (done[i] >= 0)
			close(done[i]);
	return result;
}

/* Sends ebb the socket @fd, or the reason @why there is none. */
static void tell(const struct keeper *keeper, int fd, const char *why)
{
	struct passt_message note = {.serial = keeper->serial, .error = fd < 0};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {&note, sizeof(note)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd < 0) {
		snprintf(note.why, sizeof(note.why), "%s", why);
	} else {
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		struct cmsghdr *c = CMSG_FIRSTHDR(&message);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	/* This fails if ebb has ended; the next recv() finds that out. */
	sendmsg(keeper->control, &message, MSG_NOSIGNAL);
	if (fd >= 0)
		close(fd);
}

/* --- keeping --------------------------------------------------------------------------------- */

/* Waits until passt has ended. */
static void wait_for_end(const struct keeper *keeper)
{
	while (passt_lives()) {
		struct signalfd_siginfo info;
		struct pollfd fds[] = {{.fd = keeper->control, .events = POLLIN},
				       {.fd = keeper->child_signal, .events = POLLIN}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			end();
		if (fds[0].revents)
			hear(keeper);
		while (read(keeper->child_signal, &info, sizeof(info)) == sizeof(info))
			;
	}
}

/* Waits before the next start, but ends at once if ebb has ended. */
static void pause_for(const struct keeper *keeper, int ms)
{
	uint64_t until = clock_ns() + (uint64_t)ms * NS_PER_MS;
	uint64_t now;

	while ((now = clock_ns()) < until)
		if (wait_for(keeper->control, (int)((until - now) / NS_PER_MS) + 1))
			hear(keeper);
}

void passt_keep(const struct passt_config *config, int control)
{
	struct keeper keeper = {.config = config, .control = 3};
	char why[PASST_WHY_SIZE];
	int pause = PAUSE_FIRST_MS;
	sigset_t child;

	let_go(control);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	keeper.child_signal = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	for (;;) {
		uint64_t started = clock_ns();
		keeper.serial++;
		tell(&keeper, start_passt(&keeper, why), why);
		wait_for_end(&keeper);
		if (clock_ns() - started >= PAUSE_LAST_MS * NS_PER_MS)
			pause = PAUSE_FIRST_MS;
		pause_for(&keeper, pause);
		pause = pause * 2 < PAUSE_LAST_MS ? pause * 2 : PAUSE_LAST_MS;
	}
}
