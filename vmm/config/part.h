/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the configuration. Each has a group of options, with functions that apply them to
 * the struct vm_config (their ctx), set its defaults, and check options that depend on each other.
 * A part is one file and one row in config.c.
 */
#ifndef EBB_CONFIG_PART_H
#define EBB_CONFIG_PART_H

#include "vmm/config/config.h"
#include "vmm/lib/options.h"

extern const struct option_group config_boot;
extern const struct option_group config_disks;
extern const struct option_group config_pmem;
extern const struct option_group config_folders;
extern const struct option_group config_network;
extern const struct option_group config_machine;
extern const struct option_group config_memory;
extern const struct option_group config_balloon;
extern const struct option_group config_rng;
extern const struct option_group config_vsock;
extern const struct option_group config_console;
extern const struct option_group config_control;
extern const struct option_group config_cgroup;

/* Sets *@file to @text, the name of @what. Returns 0, or -EINVAL with @error set if it is empty. */
int config_file(const char **file, const char *what, const char *text, struct option_error *error);

/*
 * For the disks' check: makes the first disk, if its file is a folder, the guest's root by virtiofs. Returns 0, or
 * -EINVAL with @error set.
 */
int config_root_folder(struct vm_config *config, struct option_error *error);

#endif
