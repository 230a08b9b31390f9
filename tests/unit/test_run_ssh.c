// SPDX-License-Identifier: Apache-2.0
/* The key of `ebb run --ssh`: from its file to the kernel's parameters. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/runtime_dir.h"
#include "vmm/cmd/run_ssh.h"

#define PARAM "systemd.set_credential=\"ssh.authorized_keys.root:"

static struct vm_config config;
static struct runtime_name name;
static char file[128];

static void setup(void)
{
	runtime_dir_setup();
	ck_assert_int_eq(runtime_claim(&name, "one"), 0);
	config = (struct vm_config){.vsock = {.wanted = true, .login = true, .key = file}};
	snprintf(file, sizeof(file), "%s/key", top);
}

static void teardown(void)
{
	runtime_release(&name);
	unlink(file);
	runtime_dir_teardown();
}

static void write_key(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static const struct {
	const char *text, *key;
} good[] = {
	{"ssh-rsa AAA=", "ssh-rsa AAA="},
	{"ssh-ed25519 A+/9\n", "ssh-ed25519 A+/9"},
	{"sk-ssh-ed25519@openssh.com AAAAB\r\n", "sk-ssh-ed25519@openssh.com AAAAB"},
	{"ssh-rsa AAAAB me@here\nssh-rsa BBBB\n", "ssh-rsa AAAAB"},
};

START_TEST(test_good)
{
	char want[256];

	write_key(file, good[_i].text);
	strcpy(config.boot.params, "init=/bin/sh -- -x");
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	snprintf(want, sizeof(want), PARAM "%s ebb\" init=/bin/sh -- -x", good[_i].key);
	ck_assert_str_eq(config.boot.params, want);
	snprintf(want, sizeof(want), "%s/one.vsck", directory);
	ck_assert_str_eq(config.vsock.path, want);
}
END_TEST

static const char *const bad[] = {"",	     "ssh-rsa",	   "ssh-rsa ",	   " AAAA\n",
				  "-x AAAA", "ssh-rsa\tA", "ssh-rsa AA\"", "ssh-rsa AA\\n\n"};

START_TEST(test_bad)
{
	write_key(file, bad[_i]);
	ck_assert_int_eq(run_ssh_prepare(&config, &name), -EINVAL);
	assert_said("is not a public key");
	ck_assert_str_eq(config.boot.params, "");
}
END_TEST

/* The longest that fits, and one byte more; with what comes behind it in its file, and without. */
START_TEST(test_long)
{
	static const char *const behind[] = {"", "\n", " comment"};
	char text[2048] = "ssh-rsa ";
	size_t used = strlen(text);

	memset(text + used, 'A', 1022 - used);
	for (size_t i = 0; i < 3; i++) {
		strcpy(text + 1022, behind[i]);
		write_key(file, text);
		config.boot.params[0] = '\0';
		ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
		ck_assert_uint_eq(strlen(config.boot.params), strlen(PARAM " ebb\"") + 1022);
	}
	memset(text + 1022, 'A', 1000);
	text[2022] = '\0';
	write_key(file, text);
	ck_assert_int_eq(run_ssh_prepare(&config, &name), -EINVAL);
	assert_said("less than 1024 bytes");
}
END_TEST

/* Of `--ssh=<(ssh-add -L)`: from a pipe, in pieces, the first of which is late. */
START_TEST(test_pipe)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(file, sizeof(file), "/dev/fd/%d", pipes[0]);
	pid_t writer = fork();
	if (writer == 0) {
		for (const char *text = "ssh-rsa AAAAB me\n"; *text; text++) {
			usleep(20000);
			if (write(pipes[1], text, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(pipes[1]);
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	ck_assert_str_eq(config.boot.params, PARAM "ssh-rsa AAAAB ebb\"");
	close(pipes[0]);
	ck_assert_int_eq(waitpid(writer, NULL, 0), writer);
}
END_TEST

/* One that nobody writes to, or closes. */
START_TEST(test_pipe_without_end)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	snprintf(file, sizeof(file), "/dev/fd/%d", pipes[0]);
	ck_assert_int_eq(run_ssh_prepare(&config, &name), -ETIMEDOUT);
	assert_said("does not come to an end");
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(test_no_room)
{
	write_key(file, good[0].text);
	memset(config.boot.params, 'x', sizeof(config.boot.params) - 1);
	ck_assert_int_eq(run_ssh_prepare(&config, &name), -E2BIG);
	assert_said("too long beside the public key");
}
END_TEST

/* The user's own keys: the shortest first; and none. */
START_TEST(test_own)
{
	char folder[128];

	snprintf(folder, sizeof(folder), "%s/.ssh", top);
	ck_assert_int_eq(mkdir(folder, 0700), 0);
	setenv("HOME", top, 1);
	config.vsock.key = NULL;
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	assert_said("finds no public key");
	ck_assert_str_eq(config.boot.params, "");

	snprintf(file, sizeof(file), "%s/.ssh/id_rsa.pub", top);
	write_key(file, "ssh-rsa AAAA\n");
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	ck_assert_str_eq(config.boot.params, PARAM "ssh-rsa AAAA ebb\"");
	unlink(file);
	rmdir(folder);
}
END_TEST

START_TEST(test_without)
{
	config.vsock.login = false;
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	ck_assert_str_eq(config.vsock.path, "");
	config.vsock.login = true;
	config.boot.restore = "a folder";
	strcpy(config.vsock.path, "/own");
	ck_assert_int_eq(run_ssh_prepare(&config, &name), 0);
	ck_assert_str_eq(config.boot.params, "");
	ck_assert_str_eq(config.vsock.path, "/own");
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof(table[0]))

Suite *run_ssh_suite(void);
Suite *run_ssh_suite(void)
{
	Suite *suite = suite_create("run_ssh");
	TCase *tcase = tcase_create("run_ssh");
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_loop_test(tcase, test_good, 0, COUNT(good));
	tcase_add_loop_test(tcase, test_bad, 0, COUNT(bad));
	tcase_add_test(tcase, test_long);
	tcase_add_test(tcase, test_pipe);
	tcase_add_test(tcase, test_pipe_without_end);
	tcase_add_test(tcase, test_no_room);
	tcase_add_test(tcase, test_own);
	tcase_add_test(tcase, test_without);
	suite_add_tcase(suite, tcase);
	return suite;
}
