/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each part of the configuration gives config.c: its options, what they set of the struct vm_config that
 * is their ctx, what it is without them, and what cannot be together. A part is a file and a row in config.c.
 */
#ifndef EBB_CONFIG_PART_H
#define EBB_CONFIG_PART_H

#include "vmm/config/config.h"
#include "vmm/lib/options.h"

extern const struct option_group config_boot;
extern const struct option_group config_disks;
extern const struct option_group config_machine;
extern const struct option_group config_memory;
extern const struct option_group config_balloon;
extern const struct option_group config_rng;
extern const struct option_group config_console;

/* Sets @*file to @text, the @what's file name. 0, or not 0 with @error set if it is empty. */
int config_file(const char **file, const char *what, const char *text, struct option_error *error);

#endif
