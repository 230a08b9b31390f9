/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a file, or a block device, into an empty file: where the file system can, both share their blocks, which takes
 * no time and no room; else what is data is copied, and holes stay holes.
 *
 * Source: ioctl_ficlone(2), copy_file_range(2), lseek(2), SEEK_DATA. Thread: any.
 */
#ifndef EBB_LIB_COPY_FILE_H
#define EBB_LIB_COPY_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct copy_file {
	int from, to;
	/* Asked before each piece of some MiB: whether to go on. */
	bool (*goes_on)(void *ctx);
	void *ctx;
	/* Afterwards: */
	bool shares;	/* blocks */
	uint64_t bytes; /* of data that were copied instead */
};

/*
 * Does not bring it to the storage. What is read must not change meanwhile. Returns 0, or -errno: -ECANCELED if it shall not go on,
 * -EIO if the file became shorter. Then @to has a part of it.
 */
int copy_file(struct copy_file *copy);

#endif
