// SPDX-License-Identifier: Apache-2.0
#include "vmm/images/program.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/signal_waits.h"

#define POLL_MS	   20
#define TIDY_UP_MS 60000 /* a program's time to remove what it has made */

extern char **environ;

static int spawn(pid_t *pid, char *const argv[], int keep, const sigset_t *mask)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	int error =
		posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	/* The same number: it is only kept open. */
	if (!error)
		error = posix_spawn_file_actions_adddup2(&actions, keep, keep);
	posix_spawnattr_setsigmask(&attributes, mask);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	if (!error)
		error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

int program_run(char *const argv[], int keep, const sigset_t *mask)
{
	int64_t deadline = INT64_MAX;
	int status = 0, sent = 0;
	pid_t pid;

	int error = spawn(&pid, argv, keep, mask);
	if (error)
		return error;
	pid_t ended;
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
		clock_sleep_ms(POLL_MS);
		if (!sent && signal_waits()) {
			sent = SIGTERM;
			deadline = clock_ms() + TIDY_UP_MS;
			kill(-pid, sent);
		} else if (clock_ms() > deadline) {
			sent = SIGKILL;
			kill(-pid, sent);
		}
	}
	if (sent || ended < 0)
		return sent ? -EINTR : -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
