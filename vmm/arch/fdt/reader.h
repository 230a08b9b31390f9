/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's bytes one after the other, unpacked where the file is gzip'd. It gives no more than is
 * asked for, however much is packed in the file.
 *
 * Thread: main. Returned: 0 or more, or -errno having said what is wrong.
 */
#ifndef EBB_ARCH_FDT_READER_H
#define EBB_ARCH_FDT_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <zlib.h>

#include "vmm/arch/boot_file.h"

struct reader {
	const struct boot_file *source;
	uint64_t at; /* bytes of the file that were read */
	bool gzip;
	bool ended; /* the packed data is at its end */
	z_stream stream;
	uint8_t packed[16384];
};

/* @source outlives it. reader_close() is for both cases. */
int reader_open(struct reader *reader, const struct boot_file *source);
void reader_close(struct reader *reader);

/* The next @size bytes, or as many as there are left. Returns how many. */
ssize_t reader_read(struct reader *reader, void *to, uint64_t size);

#endif
