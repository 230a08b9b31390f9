/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A folder that is made of other folders and files of the host, each at a place of its own and
 * read-only or not, in the mount namespace of the process: nothing of it is seen elsewhere. What is
 * not in the list is not there, so the program that serves it cannot serve more, however wrong it is.
 *
 * Thread: a process with one. Source: mount_setattr(2), the kernel's Documentation/filesystems/mount_api.
 */
#ifndef EBB_VIRTIOFSD_VIEW_H
#define EBB_VIRTIOFSD_VIEW_H

#include "vmm/lib/bind.h"

#define VIEW_PARTS_MAX 128

/*
 * Puts the view over the folder @dir, in a new mount namespace. Returns 0, or -errno with @what set to what
 * failed: a constant, or a part's name.
 */
int view_make(const char *dir, const struct bind *parts, const char **what);

/* Makes the folder @dir read-only, with all that is mounted below it, likewise. */
int view_make_read_only(const char *dir, const char **what);

#endif
