// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/said.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int saved, file;

void said_begin(void)
{
	saved = dup(STDERR_FILENO);
	file = memfd_create("stderr", MFD_CLOEXEC);
	ck_assert_int_eq(dup2(file, STDERR_FILENO), STDERR_FILENO);
}

const char *said_end(void)
{
	static char text[SAID_MAX];
	dup2(saved, STDERR_FILENO);
	ssize_t length = pread(file, text, sizeof(text) - 1, 0);
	text[length < 0 ? 0 : length] = '\0';
	close(file);
	close(saved);
	return text;
}

int said_by_child(void (*child)(void *ctx), void *ctx, char said[SAID_MAX])
{
	int fds[2], status;
	ck_assert_int_eq(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		child(ctx);
		abort();
	}
	close(fds[1]);
	size_t len = 0;
	ssize_t more;
	while ((more = read(fds[0], said + len, SAID_MAX - 1 - len)) > 0)
		len += more;
	said[len] = '\0';
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}
