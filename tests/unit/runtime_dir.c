// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/runtime_dir.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char top[] = "/tmp/ebb-test-XXXXXX"; /* of each test's own process */
char directory[64];
static int log_ends[2];
char said[2048];

void runtime_dir_setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	snprintf(directory, sizeof(directory), "%s/a/run", top);
	setenv("EBB_RUNTIME_DIR", directory, 1);
	ck_assert_int_eq(pipe2(log_ends, O_NONBLOCK), 0);
	dup2(log_ends[1], STDERR_FILENO);
}

void runtime_dir_teardown(void)
{
	char command[96];
	snprintf(command, sizeof(command), "PATH=/usr/bin:/bin rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* What was logged since last time. */
const char *log_text(void)
{
	ssize_t len = read(log_ends[0], said, sizeof(said) - 1);
	said[len > 0 ? len : 0] = '\0';
	return said;
}

void assert_said(const char *what)
{
	ck_assert_msg(strstr(log_text(), what), "\"%s\" lacks \"%s\"", said, what);
}

int files_left(void)
{
	int files = 0;
	DIR *dir = opendir(directory);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		files += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return files;
}
