/* SPDX-License-Identifier: Apache-2.0 */
/* What `ebb images` prints, for `ebb list --rootfs`, as kvmtool's users know it. */
#ifndef EBB_CMD_LIST_IMAGES_H
#define EBB_CMD_LIST_IMAGES_H

#include <stdbool.h>

/* Prints the images as a table, or as JSON. Returns the exit status. Thread: main. */
int list_images(bool json);

#endif
