/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why something failed, in words, for a function whose caller knows better where the words must go: to a client, or
 * to standard error.
 *
 * Thread: its owner's.
 */
#ifndef EBB_LIB_WHY_H
#define EBB_LIB_WHY_H

struct why {
	char text[192]; /* "" if there is nothing to say */
};

/* Sets @why as printf does. Returns @error, a -errno. */
__attribute__((format(printf, 3, 4))) int why_set(struct why *why, int error, const char *format,
						  ...);

#endif
