// SPDX-License-Identifier: Apache-2.0
#include "vmm/lib/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/signal_waits.h"

#define POLL_MS	   20
#define TIDY_UP_MS 60000 /* a program's time to remove what it has made */

extern char **environ;

static int add_streams(posix_spawn_file_actions_t *actions, const struct program *program)
{
	int error =
		posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);

	if (!error)
		error = program->output < 0
				? posix_spawn_file_actions_addopen(actions, STDOUT_FILENO,
								   "/dev/null", O_WRONLY, 0)
				: posix_spawn_file_actions_adddup2(actions, program->output,
								   STDOUT_FILENO);
	/* The same number: it is only kept open. */
	if (!error && program->keep >= 0)
		error = posix_spawn_file_actions_adddup2(actions, program->keep, program->keep);
	return error;
}

static int spawn(pid_t *pid, const struct program *program)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attributes) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	int error = add_streams(&actions, program);
	posix_spawnattr_setsigmask(&attributes, program->mask);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	if (!error)
		error = posix_spawnp(pid, program->file, &actions, &attributes, program->argv,
				     environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -error;
}

int program_run(const struct program *program)
{
	int64_t deadline = program->limit_ms ? clock_ms() + program->limit_ms : INT64_MAX;
	int status = 0;
	pid_t pid, ended;

	int error = spawn(&pid, program);
	if (error)
		return error;
	/* Before Linux 5.3 there is none, and its end is noticed a moment later. */
	struct pollfd end = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	while ((ended = waitpid(pid, &status, WNOHANG)) == 0) {
		poll(&end, 1, POLL_MS);
		bool late = clock_ms() > deadline;
		if (!error && (late || signal_waits())) {
			error = late ? -ETIMEDOUT : -EINTR;
			deadline = clock_ms() + TIDY_UP_MS;
			kill(-pid, SIGTERM);
		} else if (late) {
			kill(-pid, SIGKILL);
		}
	}
	if (end.fd >= 0)
		close(end.fd);
	if (error || ended < 0)
		return error ? error : -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
