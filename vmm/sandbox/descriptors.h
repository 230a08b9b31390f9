/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closes the descriptors that ebb inherited. The program that started ebb may have left any open; an
 * owned VMM could read and write them without a name or a permission.
 *
 * exec(2) closes the descriptors with FD_CLOEXEC. So those without it were inherited: ebb opens all
 * of its own with it, and sets it on those that an option names (fd=). Names such as /dev/fd/63, which
 * a shell makes of <(COMMAND), work until then.
 *
 * Thread: main. Source: fcntl(2), proc(5).
 */
#ifndef EBB_SANDBOX_DESCRIPTORS_H
#define EBB_SANDBOX_DESCRIPTORS_H

/* Leaves standard input, output and error open. Returns 0, or -errno. */
int descriptors_close_inherited(void);

/*
 * Limits how many can be open, and how long a file can become: as long as the longest that is open (a
 * disk's, or one that is the guest's memory), unless standard output or error is a file, to which the guest's
 * console goes. An owned VMM could fill the host's file system by a disk of its own. SIGXFSZ is ignored.
 * Returns 0, or -errno.
 */
int descriptors_limit(void);

/* The same for the length of files alone: who talks to many guests needs many descriptors. */
int descriptors_limit_sizes(void);

#endif
