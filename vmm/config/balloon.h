/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's balloon. The options are in balloon.c. */
#ifndef EBB_CONFIG_BALLOON_H
#define EBB_CONFIG_BALLOON_H

#include <stdbool.h>
#include <stdint.h>

/* In bytes: the device counts pages of 4 KiB in 32 bits. */
#define VM_BALLOON_MAX ((uint64_t)UINT32_MAX << 12)

enum vm_reporting {
	VM_REPORTING_DEFAULT, /* on, if giving memory back helps and does no harm */
	VM_REPORTING_ON,      /* asked for; implies wanted */
	VM_REPORTING_OFF,
};

struct vm_balloon {
	bool wanted;	     /* asked for, or set by default without --nodefaults */
	bool unwanted;	     /* --no-balloon is given */
	uint64_t size;	     /* bytes in it at the start, a multiple of 1 MiB */
	bool deflate_on_oom; /* implies wanted */
	enum vm_reporting reporting;
};

#endif
