/* SPDX-License-Identifier: Apache-2.0 */
/* The address of a socket that has a name in the file system. Thread: any. Source: unix(7). */
#ifndef EBB_LIB_UNIX_ADDRESS_H
#define EBB_LIB_UNIX_ADDRESS_H

#include <sys/un.h>

/*
 * Fills @address in with a path, given as to printf(). Returns 0, or -ENAMETOOLONG: a path has at most 107 bytes, and one
 * that is cut off would be another socket's.
 */
__attribute__((format(printf, 2, 3))) int unix_address(struct sockaddr_un *address,
						       const char *format, ...);

#endif
