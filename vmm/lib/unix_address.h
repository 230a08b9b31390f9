/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets that have a name in the file system. Thread: any. Source: unix(7). */
#ifndef EBB_LIB_UNIX_ADDRESS_H
#define EBB_LIB_UNIX_ADDRESS_H

#include <sys/un.h>

/*
 * Fills @address in with a path, given as to printf(). Returns 0, or -ENAMETOOLONG: a path has at most 107 bytes, and one
 * that is cut off would be another socket's.
 */
__attribute__((format(printf, 2, 3))) int unix_address(struct sockaddr_un *address,
						       const char *format, ...);

/*
 * Returns a socket that is connected there and does not block (SOCK_STREAM), or -errno: -EAGAIN if too many wait to be
 * accepted.
 */
int unix_connect(const struct sockaddr_un *address);

#endif
