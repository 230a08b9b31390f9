/* SPDX-License-Identifier: Apache-2.0 */
/* Writing to a descriptor that waits. Thread: any. Source: write(2). */
#ifndef EBB_LIB_WRITE_ALL_H
#define EBB_LIB_WRITE_ALL_H

#include <stddef.h>

/*
 * Writes all @size bytes of @data, in as many pieces as it takes, whatever signals come. Returns 0, or -errno; then some
 * may have been written.
 */
int write_all(int fd, const void *data, size_t size);

#endif
