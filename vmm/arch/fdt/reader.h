/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a kernel from beginning to end, and unpacks a file that is compressed with gzip. Unpacks no
 * more than the caller asks for, however much the file contains.
 *
 * Thread: main. The functions return 0 or more, or -errno after an error message.
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
	uint64_t at; /* bytes read from the file so far */
	bool gzip;
	bool ended; /* the packed data has ended */
	z_stream stream;
	uint8_t packed[16384];
};

/* @source must outlive the reader. Call reader_close() in either case. */
int reader_open(struct reader *reader, const struct boot_file *source);
void reader_close(struct reader *reader);

/* Reads the next @size bytes, or as many as are left. Returns their number. */
ssize_t reader_read(struct reader *reader, void *to, uint64_t size);

#endif
