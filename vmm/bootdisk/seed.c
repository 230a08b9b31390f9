// SPDX-License-Identifier: Apache-2.0
#include "vmm/bootdisk/seed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"
#include "vmm/lib/write_all.h"

#define USER_DATA_MAX (1 << 20) /* bytes; real user-data is smaller */
#define POLL_MS	      5

extern char **environ;

static int cannot(const char *user_data, int error)
{
	log_error("cannot make a disk of the user-data '%s': %s", user_data, strerror(error));
	return -error;
}

/* FNV-1a: the same text gets the same name. */
static uint64_t name_of(const char *data, size_t size)
{
	uint64_t hash = 0xcbf29ce484222325;
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)data[i]) * 0x100000001b3;
	return hash;
}

/* Checks @user_data and names it by its content. Returns 0, or -errno after an error message. */
static int look_at(const char *user_data, uint64_t *name)
{
	static const char kind[] = "the user-data '%s' is not a regular file of %d bytes or less";
	struct stat st;
	int error = 0;

	int fd = open(user_data, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0) {
		error = errno;
		log_error("cannot open the user-data '%s': %s", user_data, strerror(error));
	} else if (!S_ISREG(st.st_mode) || st.st_size > USER_DATA_MAX) {
		error = EINVAL;
		log_error(kind, user_data, USER_DATA_MAX);
	} else {
		char *data = malloc(USER_DATA_MAX);
		ssize_t n = data ? pread(fd, data, USER_DATA_MAX, 0) : -1;
		if (n < 0)
			error = -cannot(user_data, errno);
		else
			*name = name_of(data, (size_t)n);
		free(data);
	}
	if (fd >= 0)
		close(fd);
	return -error;
}

/* Writes "user-data=FILE" for xorriso, with a backslash before its special characters. */
static void graft(char *to, size_t size, const char *name, const char *file)
{
	size_t len = (size_t)snprintf(to, size, "%s=", name);
	for (; *file && len + 3 < size; file++) {
		if (*file == '=' || *file == '\\')
			to[len++] = '\\';
		to[len++] = *file;
	}
	to[len] = '\0';
}

/* Waits for xorriso to end. Returns 0 or -errno. */
static int wait_for(pid_t pid)
{
	int status, error = -ETIMEDOUT;
	for (unsigned int i = 0; i < SEED_WAIT_S * 1000 / POLL_MS && error != -EINTR; i++) {
		pid_t ended = waitpid(pid, &status, WNOHANG);
		if (ended == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
		clock_sleep_ms(POLL_MS);
		if (signal_waits())
			error = -EINTR;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return error;
}

/* Runs xorriso with @disk as its standard output. Returns 0 or -errno. */
static int run_xorriso(const char *user_data, const char *meta_data, int disk)
{
	char user[2 * PATH_MAX], meta[64];
	posix_spawn_file_actions_t actions;
	pid_t pid;

	graft(user, sizeof(user), "user-data", user_data);
	graft(meta, sizeof(meta), "meta-data", meta_data);
	char *argv[] = {"xorriso", "-as", "mkisofs",	   "-quiet", "-V", "cidata", "-J",
			"-r",	   "-f",  "-graft-points", user,     meta, NULL};
	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	int error = posix_spawn_file_actions_adddup2(&actions, disk, STDOUT_FILENO);
	/* xorriso prints its name and version even on success. */
	if (!error)
		error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null",
							 O_WRONLY, 0);
	if (!error)
		error = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	return error ? -error : wait_for(pid);
}

/* Makes the disk, with a file that names the instance, which exists only while xorriso reads it. */
static int make_disk(const char *user_data, const char *host, uint64_t name, int disk)
{
	char meta_data[] = "/tmp/ebb-meta-XXXXXX";
	char text[512];

	int fd = mkostemp(meta_data, O_CLOEXEC);
	if (fd < 0)
		return cannot(user_data, errno);
	int len = snprintf(text, sizeof(text), "instance-id: ebb-%016llx\n%s%s%s",
			   (unsigned long long)name, host ? "local-hostname: " : "",
			   host ? host : "", host ? "\n" : "");
	int error = write_all(fd, text, (size_t)len);
	if (!error)
		error = run_xorriso(user_data, meta_data, disk);
	close(fd);
	unlink(meta_data);
	if (error == -ENOENT)
		log_error("--user-data needs the program xorriso; install it");
	else if (error == -EINTR)
		log_error("a signal came while the disk of the user-data '%s' was made", user_data);
	else if (error == -ETIMEDOUT)
		log_error("cannot make a disk of the user-data '%s': xorriso took longer than %d "
			  "seconds",
			  user_data, SEED_WAIT_S);
	else if (error)
		cannot(user_data, -error);
	return error;
}

int seed_make(const char *user_data, const char *host)
{
	uint64_t name = 0;
	int error = look_at(user_data, &name);
	if (error)
		return error;
	int disk = memfd_create("cidata", MFD_CLOEXEC);
	if (disk < 0)
		return cannot(user_data, errno);
	error = make_disk(user_data, host, name, disk);
	if (!error)
		return disk;
	close(disk);
	return error;
}
