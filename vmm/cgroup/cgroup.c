// SPDX-License-Identifier: Apache-2.0
/* README.md */
#include "vmm/cgroup/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/lib/clock.h"
#include "vmm/lib/guest_name.h"
#include "vmm/lib/log.h"
#include "vmm/lib/signal_waits.h"

#define PERIOD_US 100000 /* the kernel's own choice */
#define PREFIX	  "ebb-"

#define POLL_MS	   20
#define REMOVED_MS 1000 /* a keeper needs less than one to remove an empty cgroup */

/* --- pure ---------------------------------------------------------------------------------------- */

size_t cgroup_settings(const struct cgroup_limits *limits,
		       struct cgroup_setting setting[CGROUP_SETTINGS_MAX])
{
	size_t count = 0;
	struct cgroup_setting *next = &setting[count++];

	*next = (struct cgroup_setting){.file = "memory.max"};
	snprintf(next->text, sizeof(next->text), "%" PRIu64, limits->memory);
	/* A kernel without swap, or without accounting for it, has no such file. */
	setting[count++] = (struct cgroup_setting){.file = "memory.swap.max", .optional = true};
	memcpy(setting[count - 1].text, next->text, sizeof(next->text));
	/* A guest without what serves its disks, or they without it, is of no use. */
	setting[count++] = (struct cgroup_setting){.file = "memory.oom.group", .text = "1"};
	next = &setting[count++];
	*next = (struct cgroup_setting){.file = "pids.max"};
	snprintf(next->text, sizeof(next->text), "%d", CGROUP_TASKS);
	if (!limits->cpu)
		return count;
	next = &setting[count++];
	*next = (struct cgroup_setting){.file = "cpu.max"};
	snprintf(next->text, sizeof(next->text), "%" PRIu64 " %d",
		 (uint64_t)limits->cpu * PERIOD_US / 100, PERIOD_US);
	return count;
}

bool cgroup_has(const char *list, const char *word)
{
	static const char space[] = " \n";
	size_t wanted = strlen(word);

	for (list += strspn(list, space); *list; list += strspn(list, space)) {
		size_t len = strcspn(list, space);
		if (len == wanted && memcmp(list, word, len) == 0)
			return true;
		list += len;
	}
	return false;
}

uint64_t cgroup_count(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (strncmp(text, key, len) == 0 && text[len] == ' ')
			return strtoull(text + len, NULL, 10);
	}
	return 0;
}

/* --- files --------------------------------------------------------------------------------------- */

int cgroup_read(int directory, const char *file, char text[CGROUP_TEXT_MAX])
{
	int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, CGROUP_TEXT_MAX - 1);
	int error = len < 0 ? -errno : 0;

	text[len < 0 ? 0 : len] = '\0';
	if (fd >= 0)
		close(fd);
	return error;
}

int cgroup_write(int directory, const char *file, const char *text)
{
	int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);
	int error = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

/* --- the cgroup above ---------------------------------------------------------------------------- */

/* Returns a descriptor of it, or -errno after an error message. */
static int open_parent(const char *path)
{
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstatfs(fd, &fs) < 0) {
		int error = -errno;
		log_error("cannot open the cgroup of --cgroup: %s; make the directory %s first",
			  strerror(-error), path);
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (fs.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	log_error(
		"--cgroup needs a cgroup of version 2, mostly below /sys/fs/cgroup ('ebb doctor' tells whether there is one), which %s is not",
		path);
	close(fd);
	return -EINVAL;
}

/* Says why a cgroup could not be changed. Returns @error. */
static int say_unchanged(const char *path, int error)
{
	if (error == -EBUSY)
		log_error(
			"the cgroup of --cgroup has processes of its own, and those in it can have limits only without: move them to a cgroup in %s",
			path);
	else if (error == -EACCES || error == -EPERM || error == -EROFS)
		log_error(
			"the cgroup of --cgroup is not this user's to change (%s): 'ebb doctor' tells how a user gets one; not %s",
			strerror(-error), path);
	else
		log_error("cannot change the cgroup of --cgroup: %s; choose another one than %s",
			  strerror(-error), path);
	return error;
}

struct controller {
	const char *name, *add;
	bool needed;
};

#define CONTROLLERS 4

/* Returns 0, or -EOPNOTSUPP after an error message if one that is needed is not in @available. */
static int check_controllers(const struct controller *controller, const char *available,
			     const char *path)
{
	for (size_t i = 0; i < CONTROLLERS; i++) {
		if (!controller[i].needed || cgroup_has(available, controller[i].name))
			continue;
		log_error(
			"the cgroup of --cgroup has no controller \"%s\": write %s to cgroup.subtree_control of the cgroup above %s",
			controller[i].name, controller[i].add, path);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The shares of CPUs and disks are those of its neighbours, where the kernel can give them out. */
static int use_controllers(int parent, const char *path, const struct cgroup_limits *limits)
{
	const struct controller controller[CONTROLLERS] = {
		{"memory", "+memory", true},
		{"pids", "+pids", true},
		{"cpu", "+cpu", limits->cpu > 0},
		{"io", "+io", false},
	};
	char available[CGROUP_TEXT_MAX];
	int error = cgroup_read(parent, "cgroup.controllers", available);

	if (error)
		return say_unchanged(path, error);
	error = check_controllers(controller, available, path);
	for (size_t i = 0; !error && i < CONTROLLERS; i++) {
		if (!cgroup_has(available, controller[i].name))
			continue;
		int refused = cgroup_write(parent, "cgroup.subtree_control", controller[i].add);
		if (refused && controller[i].needed)
			error = say_unchanged(path, refused);
	}
	return error;
}

/* --- the guest's --------------------------------------------------------------------------------- */

/*
 * A guest of this name may have ended a moment ago: waits until the processes around it have, too, and its keeper has
 * removed the cgroup.
 */
static void await_last(int parent, const char *folder)
{
	int64_t limit = clock_ms() + CGROUP_GENTLY_MS + CGROUP_KILLED_MS;
	int last = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (last < 0)
		return;
	while (!cgroup_wait_until_empty(last, POLL_MS) && clock_ms() < limit && !signal_waits())
		;
	close(last);
	limit = clock_ms() + REMOVED_MS;
	while (faccessat(parent, folder, F_OK, 0) == 0 && clock_ms() < limit && !signal_waits())
		clock_sleep_ms(POLL_MS);
}

/* Returns a descriptor of it, or -errno after an error message. */
static int make(int parent, const char *path, const char *folder)
{
	await_last(parent, folder);
	/* One that is still there was left: its keeper was killed, too. */
	int error = unlinkat(parent, folder, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;

	if (error == -EBUSY) {
		log_error(
			signal_waits()
				? "a signal ended ebb, which waited for the cgroup %s in %s to be empty"
				: "the cgroup %s in %s is in use; choose another --name, or end the processes in its cgroup.procs and remove the cgroups in it",
			folder, path);
		return error;
	}
	if (!error && mkdirat(parent, folder, 0755) < 0)
		error = -errno;
	int fd = error ? -1 : openat(parent, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return say_unchanged(path, error ? error : -errno);
}

static int set_limits(int fd, const char *folder, const struct cgroup_limits *limits)
{
	struct cgroup_setting setting[CGROUP_SETTINGS_MAX];
	size_t count = cgroup_settings(limits, setting);

	for (size_t i = 0; i < count; i++) {
		int error = cgroup_write(fd, setting[i].file, setting[i].text);
		if (!error || (setting[i].optional && error == -ENOENT))
			continue;
		log_error(
			"cannot set %s of the cgroup %s to %s: %s; choose another limit (memory=, cpu=), or leave --cgroup out",
			setting[i].file, folder, setting[i].text, strerror(-error));
		return error;
	}
	return 0;
}

static int move(int fd, const char *path)
{
	int error = cgroup_write(fd, "cgroup.procs", "0");

	if (error == -EACCES)
		log_error(
			"this user may not move ebb to the cgroup of --cgroup: start ebb in a cgroup that is delegated to the user, with %s in it",
			path);
	else if (error)
		log_error(
			"cannot move ebb to the cgroup of --cgroup: %s; choose another one than %s",
			strerror(-error), path);
	return error;
}

int cgroup_enter(const char *path, const char *guest, const struct cgroup_limits *limits)
{
	char folder[sizeof(PREFIX) + VM_NAME_MAX];
	int parent = open_parent(path);
	if (parent < 0)
		return parent;

	snprintf(folder, sizeof(folder), PREFIX "%s", guest);
	int error = use_controllers(parent, path, limits);
	int own = error ? -1 : make(parent, path, folder);
	if (own >= 0) {
		error = set_limits(own, folder, limits);
		if (!error && (error = cgroup_keep(own, folder, guest)))
			log_error("cannot start the process that removes the cgroup: %s",
				  strerror(-error));
		if (!error)
			error = move(own, path);
		if (error)
			unlinkat(parent, folder, AT_REMOVEDIR);
		close(own);
	} else if (!error) {
		error = own;
	}
	close(parent);
	return error;
}
