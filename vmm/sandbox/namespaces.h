/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces, without privileges: a user namespace, in which ebb's user is the only one; a tree of
 * files that is empty and read-only, but for the directory of the guests' names; no network; no System V
 * IPC or message queues of others; a host name of its own. What is open stays open.
 *
 * A child, the maker, makes them while ebb makes the machine, and ebb joins them all by one call, or
 * none if the maker could not make one. ebb itself could not go back half-way: some hosts let a
 * process into a user namespace and then forbid it to map its user. Nor could it map its user at all,
 * since it is not dumpable: its files in /proc are root's.
 *
 * There is no PID namespace: it holds the children of a process, and ebb is one process.
 *
 * Thread: main, while there is no other. Source: user_namespaces(7), setns(2), pivot_root(2).
 */
#ifndef EBB_SANDBOX_NAMESPACES_H
#define EBB_SANDBOX_NAMESPACES_H

#include <sys/types.h>

/* Where the directory of the guests' names is in the empty tree. */
#define NAMESPACES_NAMES "/names"

struct namespaces {
	pid_t maker; /* 0: none */
	int report;  /* a pipe: its result, an errno */
	int error;   /* from starting it: 0 or -errno */
};

#define NAMESPACES_NONE                                                                            \
	{                                                                                          \
		.report = -1                                                                       \
	}

/* Starts the maker. @directory is a descriptor, of the guests' names. */
void namespaces_begin(struct namespaces *namespaces, int directory);

/*
 * Joins them and ends the maker. @directory then is a descriptor of that directory, but leads to
 * nothing outside of it. Needs /proc no more. Returns 0; or -errno with nothing changed, where the host
 * does not permit them.
 */
int namespaces_join(struct namespaces *namespaces, int directory);

/* Makes them and joins none. Returns 0 or -errno. */
int namespaces_try(int directory);

/* Ends the maker, if there is one. */
void namespaces_release(struct namespaces *namespaces);

#endif
