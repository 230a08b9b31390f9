/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's source of entropy. The option is in rng.c. */
#ifndef EBB_CONFIG_RNG_H
#define EBB_CONFIG_RNG_H

#include <stdbool.h>

struct vm_rng {
	bool wanted;
};

#endif
