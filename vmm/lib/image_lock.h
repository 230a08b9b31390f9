/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks an image by QEMU's convention, so that QEMU's guests and ebb's stay out of each other's
 * images and share those that they may share. Each operation on an image (reading, writing,
 * changing its size) has two bytes: programs that do it lock the one, programs that exclude it lock
 * the other. All locks are shared; whether the other byte is locked is only tested. The contents of
 * these bytes have no meaning.
 * Source: QEMU, block/file-posix.c (RAW_LOCK_PERM_BASE).
 *
 * The locks belong to the open file (F_OFD_SETLK, fcntl(2)) and go with its last descriptor. Thread: any.
 */
#ifndef EBB_LIB_IMAGE_LOCK_H
#define EBB_LIB_IMAGE_LOCK_H

#include <stdbool.h>

/*
 * Returns 0, or -errno: -EAGAIN if another program uses the image in a way that excludes this one, and goes on doing so for
 * a second, for which this waits: an ebb that has ended may still have it, as a process that it has just forked closes what
 * it does not need a moment later.
 */
int image_lock(int fd, bool read_only);

#endif
