// SPDX-License-Identifier: Apache-2.0
#include "vmm/cmd/sandbox_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/cmd/cmd.h"
#include "vmm/cmd/run.h"
#include "vmm/config/config.h"
#include "vmm/lib/log.h"

void sandbox_guest_init(struct sandbox_guest *guest)
{
	*guest = (struct sandbox_guest){.pidfd = -1, .console = -1, .server = -1, .owner = -1};
	for (unsigned int i = 0; i < AGENT_STREAMS; i++)
		guest->sockets.fd[i] = -1;
}

/* --- files of our own ------------------------------------------------------------------------ */

void sandbox_guest_remove(struct sandbox_guest *guest)
{
	session_close(&guest->sockets, true);
	unlink(guest->vsock);
	rmdir(guest->place);
	rmdir(guest->dir);
}

static int make_files(struct sandbox_guest *guest)
{
	snprintf(guest->dir, sizeof(guest->dir), "/tmp/ebb-sandbox-XXXXXX");
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
		     const struct sandbox_guest *guest, const char *name)
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
	if (name)
		words[count++] = (char *)name;
	words[count++] = (char *)"--params=quiet rdinit=/bin/ebb-agent";
	if (!request->network)
		words[count++] = (char *)"--network=none";
	if (config_parse(config, (int)count, words, error, sizeof(error)) != CONFIG_RUN) {
		log_error("%s", error);
		return -EINVAL;
	}
	return 0;
}

void sandbox_forget_environment(void)
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
static _Noreturn void become_guest(struct sandbox_guest *guest, struct vm_config *config,
				   pid_t parent, int console)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	prctl(PR_SET_NAME, "ebb"); /* as others are called, whatever started it */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_NOT_STARTED);
	dup2(null, STDIN_FILENO);
	dup2(console, STDOUT_FILENO);
	make_errors_write_only(null);
	sandbox_forget_environment();
	close(null);
	close(console);
	if (guest->owner >= 0) {
		close(guest->owner);
		close(guest->server);
	}
	session_close(&guest->sockets, false);
	sigprocmask(SIG_SETMASK, &guest->signals, NULL);
	_exit(run_guest(config));
}

static int start_guest(struct sandbox_guest *guest, struct vm_config *config)
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

int sandbox_guest_stop(struct sandbox_guest *guest)
{
	struct pollfd ended = {.fd = guest->pidfd, .events = POLLIN};
	int status = 0;

	if (guest->pid <= 0)
		return EXIT_NOT_STARTED;
	kill(guest->pid, SIGTERM);
	if (guest->pidfd < 0 || poll(&ended, 1, SANDBOX_STOP_MS) <= 0)
		kill(guest->pid, SIGKILL);
	while (waitpid(guest->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (guest->pidfd >= 0)
		close(guest->pidfd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_GUEST_FAILED;
}

int sandbox_guest_check(struct sandbox_request *request)
{
	struct sandbox_guest guest = {.vsock = "/tmp/v", .place = "/tmp"};
	struct vm_config *config = malloc(sizeof(*config));
	int error = config ? configure(config, request, &guest, NULL) : -ENOMEM;

	free(config);
	return error;
}

static int make_pair(int pair[2])
{
	int error = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;

	if (error)
		log_error("cannot make a socket for the guest's folders: %s", strerror(-error));
	return error;
}

int sandbox_guest_start(struct sandbox_guest *guest, struct sandbox_request *request,
			const char *name, int owner)
{
	struct vm_config *config = malloc(sizeof(*config));
	int error = config ? make_files(guest) : -ENOMEM, pair[2] = {-1, -1};

	if (!config)
		log_error("out of memory");
	if (!error)
		error = configure(config, request, guest, name);
	if (!error && owner >= 0)
		error = make_pair(pair);
	if (!error) {
		struct vm_folder *folder = &config->folders.folder[0];
		folder->parts = request->files.part;
		folder->later = owner >= 0;
		folder->server = pair[1];
		guest->owner = owner;
		guest->server = pair[0];
		error = start_guest(guest, config);
	}
	if (pair[1] >= 0)
		close(pair[1]);
	free(config);
	return error;
}
