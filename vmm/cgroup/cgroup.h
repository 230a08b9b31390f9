/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cgroup (version 2) of one guest's own, below one that this user may change: what runs away in it hurts nobody
 * else. README.md has the limits and who removes it.
 *
 * Thread: main, before any other. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst.
 */
#ifndef EBB_CGROUP_CGROUP_H
#define EBB_CGROUP_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Threads of ebb, of the programs that serve its devices, and of the kernel for them: some hundred at most. */
#define CGROUP_TASKS 4096

struct cgroup_limits {
	uint64_t memory;  /* bytes, once of memory and once of swap */
	unsigned int cpu; /* percent of one CPU's time; 0: as much as there is */
};

/*
 * Makes the cgroup ebb-@guest in the cgroup @path, with @limits, and moves this process into it; processes that are
 * forked later are born there. A process beside it removes it when this one has ended and no other is left in it.
 * Returns 0, or -errno after an error message, with no cgroup left behind.
 */
int cgroup_enter(const char *path, const char *guest, const struct cgroup_limits *limits);

/* --- --cgroup auto ------------------------------------------------------------------------------- */

/*
 * Finds a cgroup in which this user may make the guest's: the one above this process's own, if it may be changed and no
 * systemd manages it. Returns 0 with @path set, or -ENOENT.
 */
int cgroup_find(char path[PATH_MAX]);

/*
 * Returns whether this process has become systemd-run, and ebb again, and takes the variable that says so out of the
 * environment.
 */
bool cgroup_is_in_scope(void);

/*
 * Has systemd-run(1) run @argv, the words after "ebb", in a scope of systemd's with @limits, and @guest (or NULL) in its
 * description: this process becomes that program, which becomes ebb again. There, as @is_in_one says, it returns 0 if the
 * scope has the limits, with @path the scope's cgroup. Else -errno after an error message.
 */
int cgroup_scope(char *const *argv, const char *guest, bool is_in_one,
		 const struct cgroup_limits *limits, char path[PATH_MAX]);

/*
 * Returns the name of a file by which the cgroup @directory is not held to @limits, or NULL: it is limited as they say, or
 * more.
 */
const char *cgroup_lacks(int directory, const struct cgroup_limits *limits);

/* --- pure, for cgroup_enter() and its tests ------------------------------------------------------ */

struct cgroup_setting {
	const char *file;
	char text[48];
	bool optional; /* some kernels, and some configurations, do not have it */
};

#define CGROUP_SETTINGS_MAX 5

/* Sets @setting to the files to write and their texts. Returns how many there are. */
size_t cgroup_settings(const struct cgroup_limits *limits,
		       struct cgroup_setting setting[CGROUP_SETTINGS_MAX]);

/* Returns whether @word is one of the words of @list, which are separated by white space. */
bool cgroup_has(const char *list, const char *word);

/* Returns the number after the key @key, which begins a line of @text, or 0 if there is none. */
uint64_t cgroup_count(const char *text, const char *key);

/* --- between the two files ----------------------------------------------------------------------- */

#define CGROUP_TEXT_MAX 4096

/* Reads the beginning of @file in @directory as text: -1 if @file is a path. Returns 0 or -errno. */
int cgroup_read(int directory, const char *file, char text[CGROUP_TEXT_MAX]);
int cgroup_write(int directory, const char *file, const char *text);

/* What serves a disk may take some seconds to write what it holds; then all that is left is killed. */
#define CGROUP_GENTLY_MS 15000
#define CGROUP_KILLED_MS 5000

/* Waits until there is no process in the cgroup @own, or it is gone, up to @ms. Returns whether there is none. */
bool cgroup_wait_until_empty(int own, int64_t ms);

/*
 * Starts the process that removes @own, the cgroup of @guest that is called @folder, when this process has ended.
 * Returns 0 or -errno.
 */
int cgroup_keep(int own, const char *folder, const char *guest);

#endif
