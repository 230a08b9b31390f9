/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A part of a folder that is made of others: the folder or file @source of the host, seen as @at.
 * Such a list ends with a @source of NULL.
 */
#ifndef EBB_LIB_BIND_H
#define EBB_LIB_BIND_H

#include <stdbool.h>

struct bind {
	const char *source; /* absolute */
	const char *at;	    /* relative to the folder */
	bool read_only;
	bool optional; /* left out where the host has no such file; and may be, or lead through, a symbolic link */
};

#endif
