/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `ebb run --ssh` adds to the configuration, so that `ebb ssh` can log in. Thread: main.
 */
#ifndef EBB_CMD_RUN_SSH_H
#define EBB_CMD_RUN_SSH_H

#include "vmm/config/config.h"
#include "vmm/control/runtime.h"

/*
 * Without --ssh does nothing. With it, names the guest's socket after @name, which is held, unless --vsock has a path; and
 * adds the kernel parameter by which systemd gives root an authorized key. Where the user has none, only warns. Returns 0, or
 * -errno after an error message.
 *
 * Source: systemd.system-credentials(7), ssh.authorized_keys.root; systemd(1), systemd.set_credential=.
 */
int run_ssh_prepare(struct vm_config *config, const struct runtime_name *name);

#endif
