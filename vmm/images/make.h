/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes an image: a Debian from packages, with its own kernel, that boots as `ebb run -d` boots any disk.
 *
 *     apt's configuration ──► sources.c ──► mmdebstrap ──► root.tar ──► [fakeroot] tar, mke2fs ──► disk.img
 *
 * All of it is made in the folder .NAME.new, which is locked meanwhile, also by the programs that run, and renamed to NAME
 * at the end: so no one finds half an image, and of two at once the second one is told. What a killed one left is taken over
 * by the next.
 *
 * Thread: main, of a process that has no other. Source: mmdebstrap(1), mke2fs(8), the Boot Loader Specification.
 */
#ifndef EBB_IMAGES_MAKE_H
#define EBB_IMAGES_MAKE_H

#include <stdint.h>

struct image_recipe {
	const char *name;    /* a good one: image_name_error() */
	const char *suite;   /* or NULL: this machine's own */
	const char *include; /* more packages, separated by commas; or NULL */
	uint64_t size;	     /* bytes of the disk */
};

/*
 * Takes minutes. Returns 0, or -errno after an error message; then nothing is left: -EEXIST if there is such an image, -ENOENT
 * if this machine lacks a program or a suite that it needs.
 */
int image_make(const struct image_recipe *recipe);

#endif
