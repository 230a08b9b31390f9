// SPDX-License-Identifier: Apache-2.0
/* Folders that are made of others. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/virtiofsd/view.h"

static char dir[96], writable[96], fixed[96], file[96], link_name[96], inner[96];

static void put_file(const char *folder, const char *text)
{
	char name[128];
	snprintf(name, sizeof(name), "%s/data", folder);
	FILE *out = fopen(name, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text, out);
	fclose(out);
}

static void setup(void)
{
	runtime_dir_setup();
	snprintf(dir, sizeof(dir), "%s/view", top);
	snprintf(writable, sizeof(writable), "%s/rw", top);
	snprintf(fixed, sizeof(fixed), "%s/ro", top);
	snprintf(file, sizeof(file), "%s/ro/data", top);
	snprintf(link_name, sizeof(link_name), "%s/link", top);
	ck_assert(mkdir(dir, 0755) == 0 && mkdir(writable, 0755) == 0 && mkdir(fixed, 0755) == 0);
	put_file(writable, "of rw");
	put_file(fixed, "of ro");
	snprintf(inner, sizeof(inner), "%s/rw/inner", top);
	ck_assert_int_eq(mkdir(inner, 0755), 0);
	put_file(inner, "of inner");
	ck_assert_int_eq(symlink("usr/bin", link_name), 0);
}

static int can_open(const char *name, int how)
{
	char path[192];
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, how, 0644);
	int error = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return error;
}

static bool write_map(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool written = fd >= 0 && write(fd, text, strlen(text)) > 0;
	close(fd);
	return written;
}

/* As virtiofsd's process has it. Returns whether the host permits it. */
static bool become_root(void)
{
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", geteuid());
	snprintf(groups, sizeof(groups), "0 %u 1", getegid());
	return unshare(CLONE_NEWUSER) == 0 && write_map("/proc/self/setgroups", "deny") &&
	       write_map("/proc/self/uid_map", users) && write_map("/proc/self/gid_map", groups);
}

/* Whether a process ended with 77; if so, says that @test is skipped. Standard error is a pipe of the fixture's. */
static bool skipped(const char *test, int status)
{
	if (status != 77)
		return false;
	printf("SKIPPED: %s: this host permits no user namespaces, or no mounts in them\n", test);
	return true;
}

/* In a process of its own. Returns the number of the check that failed, 0, or 77 if the host permits no view. */
static int look(void)
{
	const struct bind parts[] = {
		{.source = writable, .at = "dirs/0"},
		{.source = fixed, .at = "dirs/1", .read_only = true},
		/* One in another one, which is reached by that one, too. */
		{.source = inner, .at = "dirs/2", .read_only = true},
		{.source = inner, .at = "dirs/0/inner", .read_only = true},
		{.source = file, .at = "root/etc/data", .read_only = true},
		{.source = link_name, .at = "root/bin", .read_only = true, .optional = true},
		{.source = "/nonesuch", .at = "root/nonesuch", .optional = true},
		{NULL},
	};
	const char *what = NULL;
	char path[192], text[64] = "";

	if (geteuid() && !become_root())
		return 77;
	int error = view_make(dir, parts, &what);
	if (error == -EPERM || error == -ENOSYS)
		return 77;
	snprintf(path, sizeof(path), "%s/root/bin", dir);
	const int checks[] = {
		error == 0,
		can_open("dirs/0/data", O_RDWR) == 0,
		can_open("dirs/0/new", O_RDWR | O_CREAT) == 0,
		can_open("dirs/1/data", O_RDONLY) == 0,
		can_open("dirs/1/data", O_RDWR) == EROFS,
		can_open("dirs/1/new", O_RDWR | O_CREAT) == EROFS,
		can_open("dirs/0/inner/data", O_RDONLY) == 0,
		can_open("dirs/0/inner/data", O_RDWR) == EROFS,
		can_open("dirs/2/new", O_RDWR | O_CREAT) == EROFS,
		can_open("root/etc/data", O_RDONLY) == 0,
		can_open("root/etc/data", O_RDWR) == EROFS,
		can_open("root/nonesuch", O_RDONLY) == ENOENT,
		/* What is between the parts is memory of the host. */
		can_open("root/new", O_RDWR | O_CREAT) == EROFS,
		can_open("new", O_RDWR | O_CREAT) == EROFS,
		readlink(path, text, sizeof(text)) == 7 && strcmp(text, "usr/bin") == 0,
	};
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		if (!checks[i])
			return (int)i + 1;
	return 0;
}

START_TEST(view)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(look());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (skipped("view", WEXITSTATUS(status)))
		return;
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	/* Elsewhere nothing of it is seen, but what was written to the folder that may be. */
	ck_assert_int_eq(can_open("dirs/0/data", O_RDONLY), ENOENT);
	ck_assert_int_eq(rmdir(dir), 0);
	strcat(writable, "/new");
	ck_assert_int_eq(access(writable, F_OK), 0);
}
END_TEST

/* A user's folder was found without links: one that is there now was put there since. */
static int look_through_links(void)
{
	char swapped[128], above[128];
	const char *what = NULL;

	snprintf(swapped, sizeof(swapped), "%s/swapped", top);
	snprintf(above, sizeof(above), "%s/swapped/inner", top);
	if (symlink(writable, swapped) < 0)
		return 3;
	const struct bind last[] = {{.source = swapped, .at = "dirs/0"}, {NULL}};
	const struct bind middle[] = {{.source = above, .at = "dirs/0"}, {NULL}};
	if (geteuid() && !become_root())
		return 77;
	int error = view_make(dir, last, &what);
	if (error == -EPERM || error == -ENOSYS)
		return 77;
	return error != -ELOOP ? 1 : view_make(dir, middle, &what) != -ELOOP ? 2 : 0;
}

START_TEST(links_are_not_followed)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(look_through_links());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	if (!skipped("links_are_not_followed", WEXITSTATUS(status)))
		ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

Suite *view_suite(void);
Suite *view_suite(void)
{
	Suite *suite = suite_create("view");
	TCase *tc = tcase_create("view");

	tcase_add_checked_fixture(tc, setup, runtime_dir_teardown);
	tcase_add_test(tc, view);
	tcase_add_test(tc, links_are_not_followed);
	suite_add_tcase(suite, tc);
	return suite;
}
