/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console. The options are in console.c. */
#ifndef EBB_CONFIG_CONSOLE_H
#define EBB_CONFIG_CONSOLE_H

#include <stdbool.h>

struct vm_console {
	bool detach;
	const char *log; /* points into argv, or NULL: the default */
};

#endif
