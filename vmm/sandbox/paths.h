/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes every name of a file away from the process (Landlock): no file can be opened, made, run,
 * moved or removed, except in one directory. Open descriptors stay as they are. Local sockets that have no file are out of
 * reach, too (Linux 6.12); those that have one can be connected to.
 *
 * A filter cannot do this: it sees a name's address only, and ebb removes its own names at its end.
 *
 * Thread: main; other threads that it starts inherit it. Source: landlock(7).
 */
#ifndef EBB_SANDBOX_PATHS_H
#define EBB_SANDBOX_PATHS_H

/* Returns the version of the kernel's Landlock, or -errno as below. */
int paths_version(void);

/* What stays allowed in the directory. */
enum paths_left {
	PATHS_REMOVE, /* files can be removed */
	PATHS_NAMES,  /* and looked for, read and made: what runtime.h does with guests' names */
};

/*
 * @directory is a descriptor. Needs no_new_privs. Returns 0, or -errno: -ENOSYS or -EOPNOTSUPP if
 * the kernel has no Landlock, or not turned on.
 */
int paths_restrict(int directory, enum paths_left left);

#endif
