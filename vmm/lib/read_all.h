/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what another program sends: a pipe, or a file that can be read at once. It may come in pieces, late, or never:
 * every wait has a limit, read_all() one for them all, and a signal that asks ebb to end (signal_waits.h) ends it.
 *
 * Thread: any; main where signals are to be noticed. Source: read(2), poll(2).
 */
#ifndef EBB_LIB_READ_ALL_H
#define EBB_LIB_READ_ALL_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Reads the next piece, of at most @size bytes. Returns its length, 0 at the end, or -errno: -ETIMEDOUT after @silence_ms
 * without any, -EINTR if a signal waits. If others read from @fd, too, it should be non-blocking.
 */
ssize_t read_next(int fd, void *data, size_t size, int silence_ms);

/*
 * Reads until the end, or until @data is full. Returns how many bytes came, or -errno: -ETIMEDOUT if that takes longer than
 * @limit_ms in all, however often a piece comes; -EINTR as above. Then some may have been read.
 */
ssize_t read_all(int fd, void *data, size_t size, int limit_ms);

#endif
