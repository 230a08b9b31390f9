/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What looks for a kernel in an image, in a child process (vmm/lib/confined.h). The image is untrusted: before it reads
 * the first byte, the process gives up everything but reading the image and writing the result, so
 * that a fault in libext2fs, or here, can only give the guest to which the image belongs a wrong
 * kernel, or none.
 */
#ifndef EBB_BOOTDISK_READER_H
#define EBB_BOOTDISK_READER_H

#include <stdbool.h>
#include <stdint.h>

#define READER_KERNEL_MAX (256ULL << 20) /* bytes */
#define READER_INITRD_MAX (1ULL << 30)	 /* bytes, all initrds together */
#define READER_CPU_S	  30

/* The child's reply, written once. After a failure only the reason is set. */
struct reader_reply {
	char reason[256]; /* "" if a kernel was found */
	char params[2048];
	char kernel[256], initrd[256]; /* their names, for messages; initrd: the first one's */
	uint8_t has_initrd;
};

struct reader_fds {
	int image;
	bool served; /* that is a socket to a server that speaks NBD */
	int kernel, initrd;
};

/*
 * Looks for a kernel in the image, copies it and its initrd, fills in @reply. Runs in the child, or
 * in a test. @size: bytes of the image, which a server tells by itself.
 */
void reader_find(const struct reader_fds *fds, uint64_t size, struct reader_reply *reply);

#endif
