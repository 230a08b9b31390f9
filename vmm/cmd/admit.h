/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks the user's keeper, if one runs, whether a guest's memory would fit. Thread: main, before any
 * other runs.
 */
#ifndef EBB_CMD_ADMIT_H
#define EBB_CMD_ADMIT_H

#include "vmm/config/config.h"

/*
 * Warns if it would not fit, or only once other guests gave memory back. Returns 0, or -ENOMEM after
 * an error message: it would not fit, and config->memory.admit is strict. Takes a second at most; a
 * keeper that does not answer by then is a warning.
 */
int admit_guest(const struct vm_config *config);

#endif
