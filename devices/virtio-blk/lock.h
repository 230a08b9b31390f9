/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may use an image together, by QEMU's convention, so that its guests and ours keep from each other's images
 * and share what they may share. For each thing that can be done with an image (reading it, writing to it,
 * changing its size) there are two bytes: the one is locked by those who do it, the other by those who want
 * nobody else to do it. All locks are shared ones; the other side is asked for by a look, without a lock. What
 * is at these bytes of the image has no meaning. Source: QEMU, block/file-posix.c (RAW_LOCK_PERM_BASE).
 *
 * The locks belong to the open file (F_OFD_SETLK, fcntl(2)) and go with its last descriptor. Thread: any.
 */
#ifndef EBB_VIRTIO_BLK_LOCK_H
#define EBB_VIRTIO_BLK_LOCK_H

#include <stdbool.h>

/* Returns 0, -EAGAIN if somebody else uses the image in a way that excludes this one, or -errno. */
int lock_image(int fd, bool read_only);

#endif
