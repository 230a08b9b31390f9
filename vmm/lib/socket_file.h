/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A listening socket with a name in the file system that the user chose.
 *
 * Thread: main, before others are started: it changes the umask for a moment. Source: unix(7).
 */
#ifndef EBB_LIB_SOCKET_FILE_H
#define EBB_LIB_SOCKET_FILE_H

#include <sys/types.h>

/* The socket's file, so that no other one of that name is removed. */
struct socket_file {
	const char *path;
	dev_t device;
	ino_t inode;
};

#define SOCKET_FILE_NO_GROUP ((gid_t)-1)

/*
 * Makes the socket file->path, for this user alone, or also for the members of @group. A socket that nobody listens at was
 * left behind, and is replaced. Returns the listening socket, non-blocking and the caller's, or -errno, with nothing left
 * behind: -EADDRINUSE if a program listens there; -ENOTSOCK if the file is no socket; -ENAMETOOLONG.
 */
int socket_file_listen(struct socket_file *file, gid_t group);

/* Removes the file, unless another one has its name by now. Thread: any. */
void socket_file_remove(const struct socket_file *file);

#endif
