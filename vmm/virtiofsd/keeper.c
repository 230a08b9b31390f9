// SPDX-License-Identifier: Apache-2.0
/*
 * The keeper: starts virtiofsd, waits for its end, starts it again. It was forked from ebb, and
 * first gives up everything of ebb's: descriptors, signals, terminal.
 *
 * It makes the socket that virtiofsd listens at, and connects to it itself, before virtiofsd runs:
 * so the socket's name lives in a directory of the keeper's own, and only for a moment; nobody else
 * can connect.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/virtiofsd/virtiofsd.h"

/*
 * The pause before the next start: doubled each time up to the maximum, reset once a virtiofsd has
 * lived that long.
 */
#define PAUSE_FIRST_MS 100
#define PAUSE_LAST_MS  30000
/* The time limit for `virtiofsd --help`. */
#define HELP_MS 10000

struct keeper {
	const struct virtiofsd_config *config;
	char program[PATH_MAX];
	enum virtiofsd_kind kind;
	int control;
	int child_signal;	       /* a signalfd for SIGCHLD */
	uint32_t serial;	       /* of the virtiofsd that was started last */
	pid_t child;		       /* 0: none */
	int errors;		       /* what it says; -1: none */
	char said[VIRTIOFSD_WHY_SIZE]; /* the last line of that */
};

/* --- becoming a keeper ----------------------------------------------------------------------- */

static void let_go(int control)
{
	const struct sigaction normal = {.sa_handler = SIG_DFL};
	sigset_t child;

	/* Move it out of the way of the three standard streams. */
	control = fcntl(control, F_DUPFD, 3);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &normal, NULL);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	/* No key of the terminal may end it before ebb, and it may not keep ebb's pipes open. */
	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	/* At a known number, so that all other descriptors can be closed. */
	if (control != 3)
		dup2(control, 3);
	syscall(SYS_close_range, 4U, ~0U, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "fs-keeper");
}

/* --- the program ----------------------------------------------------------------------------- */

static bool find_in(const char *dirs, char program[PATH_MAX])
{
	for (const char *dir = dirs; *dir; dir += strspn(dir, ":")) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(program, PATH_MAX, "%.*s/virtiofsd", (int)len, dir);
		if (len > 0 && n < PATH_MAX && access(program, X_OK) == 0)
			return true;
		dir += len;
	}
	return false;
}

/* Distributions keep it out of the PATH: Debian and Ubuntu, Fedora, Arch. */
static bool find_program(char program[PATH_MAX])
{
	const char *path = getenv("PATH");

	return (path && find_in(path, program)) ||
	       find_in("/usr/lib/qemu:/usr/libexec:/usr/lib", program);
}

/* Reads what comes from @fd until it ends or @text is full. Stops at @deadline. */
static void read_all(int fd, char *text, size_t size, uint64_t deadline)
{
	size_t len = 0;

	while (len + 1 < size && clock_ns() < deadline) {
		struct pollfd readable = {.fd = fd, .events = POLLIN};
		if (poll(&readable, 1, 100) <= 0)
			continue;
		ssize_t n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
}

/* Asks the program for its kind: the two take other options, and their version numbers overlap. */
static enum virtiofsd_kind ask_kind(const char *program)
{
	char help[16384] = "";
	int out[2];

	if (pipe2(out, O_CLOEXEC) < 0)
		return VIRTIOFSD_C;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execl(program, "virtiofsd", "--help", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	if (pid > 0) {
		read_all(out[0], help, sizeof(help), clock_ns() + HELP_MS * NS_PER_MS);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	close(out[0]);
	return virtiofsd_kind_of(help);
}

/* --- the child ------------------------------------------------------------------------------- */

static void kill_children_of(pid_t pid)
{
	char path[64];
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *children = fopen(path, "re");
	while (children && fscanf(children, "%d", &child) == 1)
		kill(child, SIGKILL);
	if (children)
		fclose(children);
}

/*
 * Kills what @pid has started, then @pid. QEMU's virtiofsd serves in a child, the first process of a
 * namespace, which takes no other signal; and its parent only waits.
 */
static void kill_tree(pid_t pid)
{
	kill_children_of(pid);
	kill(pid, SIGKILL);
}

/*
 * Kills and waits for all that is left. The keeper is a subreaper: init, to which orphans would be
 * left, may be a program that reaps none, as in a container.
 */
static void reap_all(void)
{
	do
		kill_children_of(getpid());
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

/* Keeps the last line of what virtiofsd says; the lines before only lead to it. */
static void listen_to(struct keeper *keeper)
{
	char text[1024];
	ssize_t len;

	while ((len = read(keeper->errors, text, sizeof(text) - 1)) > 0) {
		while (len > 0 && text[len - 1] == '\n')
			len--;
		text[len] = '\0';
		const char *line = strrchr(text, '\n');
		if (len > 0)
			snprintf(keeper->said, sizeof(keeper->said), "%.*s",
				 (int)sizeof(keeper->said) - 1, line ? line + 1 : text);
	}
}

/* Returns a socket that listens, and *@client connected to it; or -1 with errno set. */
static int make_sockets(int *client)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/ebb-fs-XXXXXX";

	*client = -1;
	if (!mkdtemp(dir))
		return -1;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", dir);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	*client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool ok = listener >= 0 && *client >= 0 &&
		  bind(listener, (struct sockaddr *)&name, sizeof(name)) == 0 &&
		  listen(listener, 1) == 0 &&
		  connect(*client, (struct sockaddr *)&name, sizeof(name)) == 0;
	int error = errno;
	unlink(name.sun_path);
	rmdir(dir);
	if (ok)
		return listener;
	if (listener >= 0)
		close(listener);
	if (*client >= 0)
		close(*client);
	*client = -1;
	errno = error;
	return -1;
}

/* Returns the socket to a virtiofsd that was started, or -1 with errno set. */
static int start_child(struct keeper *keeper)
{
	int errors[2], client;

	int listener = make_sockets(&client);
	if (listener < 0)
		return -1;
	keeper->said[0] = '\0';
	keeper->child = -1;
	if (pipe2(errors, O_CLOEXEC | O_NONBLOCK) == 0) {
		keeper->child = fork();
		if (keeper->child == 0)
			virtiofsd_become(keeper->config, keeper->program, keeper->kind, listener,
					 errors[1]);
		close(errors[1]);
		keeper->errors = errors[0];
	}
	int error = errno;
	close(listener);
	if (keeper->child > 0)
		return client;
	keeper->child = 0;
	close(client);
	errno = error;
	return -1;
}

/* --- messages -------------------------------------------------------------------------------- */

/* Sends ebb the socket @fd, or the reason @why there is none. */
static void tell(const struct keeper *keeper, int fd, const char *why)
{
	struct virtiofsd_message note = {.serial = keeper->serial, .error = fd < 0};
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

static _Noreturn void end(const struct keeper *keeper)
{
	if (keeper->child > 0)
		kill_tree(keeper->child);
	reap_all();
	_exit(0);
}

/* Handles a message: ebb asks to end the current virtiofsd, or has ended. */
static void hear(const struct keeper *keeper)
{
	uint32_t serial;
	ssize_t got = recv(keeper->control, &serial, sizeof(serial), MSG_DONTWAIT);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		end(keeper);
	if (got == sizeof(serial) && serial == keeper->serial && keeper->child > 0)
		kill_tree(keeper->child);
}

/* --- keeping --------------------------------------------------------------------------------- */

/* Waits until virtiofsd has ended, and tells ebb why. */
static void wait_for_end(struct keeper *keeper)
{
	char why[VIRTIOFSD_WHY_SIZE];
	int status = 0;

	while (keeper->child > 0 && waitpid(keeper->child, &status, WNOHANG) == 0) {
		struct signalfd_siginfo info;
		struct pollfd fds[] = {{.fd = keeper->control, .events = POLLIN},
				       {.fd = keeper->child_signal, .events = POLLIN},
				       {.fd = keeper->errors, .events = POLLIN}};
		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			end(keeper);
		if (fds[0].revents)
			hear(keeper);
		if (fds[2].revents & POLLIN)
			listen_to(keeper);
		else if (fds[2].revents) {
			/* It has closed its standard error: wait for its end only. */
			close(keeper->errors);
			keeper->errors = -1;
		}
		while (read(keeper->child_signal, &info, sizeof(info)) == sizeof(info))
			;
	}
	if (keeper->errors >= 0) {
		listen_to(keeper);
		close(keeper->errors);
		keeper->errors = -1;
	}
	keeper->child = 0;
	reap_all();
	if (keeper->said[0])
		snprintf(why, sizeof(why), "%s", keeper->said);
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "it died of signal %d", WTERMSIG(status));
	else
		snprintf(why, sizeof(why), "it ended with status %d", WEXITSTATUS(status));
	tell(keeper, -1, why);
}

/* Waits before the next start, but ends at once if ebb has ended. */
static void pause_for(const struct keeper *keeper, int ms)
{
	uint64_t until = clock_ns() + (uint64_t)ms * NS_PER_MS;
	uint64_t now;

	while ((now = clock_ns()) < until) {
		struct pollfd control = {.fd = keeper->control, .events = POLLIN};
		if (poll(&control, 1, (int)((until - now) / NS_PER_MS) + 1) > 0)
			hear(keeper);
	}
}

/* Nothing helps: waits until ebb has read why. */
static _Noreturn void give_up(const struct keeper *keeper, const char *why)
{
	tell(keeper, -1, why);
	for (;;)
		pause_for(keeper, PAUSE_LAST_MS);
}

void virtiofsd_keep(const struct virtiofsd_config *config, int control)
{
	struct keeper keeper = {.config = config, .control = 3, .errors = -1};
	int pause = PAUSE_FIRST_MS;
	sigset_t child;

	let_go(control);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	keeper.child_signal = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!find_program(keeper.program))
		give_up(&keeper, "it is not installed; Debian's package is virtiofsd, or "
				 "qemu-system-common in Debian 12");
	keeper.kind = ask_kind(keeper.program);
	for (;;) {
		uint64_t started = clock_ns();
		keeper.serial++;
		int fd = start_child(&keeper);
		if (fd >= 0) {
			tell(&keeper, fd, NULL);
			wait_for_end(&keeper);
		} else {
			tell(&keeper, -1, strerror(errno));
		}
		if (clock_ns() - started >= PAUSE_LAST_MS * NS_PER_MS)
			pause = PAUSE_FIRST_MS;
		pause_for(&keeper, pause);
		pause = pause * 2 < PAUSE_LAST_MS ? pause * 2 : PAUSE_LAST_MS;
	}
}
