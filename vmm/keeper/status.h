/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper's account of itself: the answer to KEEPER_STATUS, and its log lines.
 *
 * Pure, except for logging. Thread: the keeper's.
 */
#ifndef EBB_KEEPER_STATUS_H
#define EBB_KEEPER_STATUS_H

#include "vmm/keeper/decide.h"
#include "vmm/keeper/kept.h"

/* Returns a new object; sizes in bytes. @sandbox: "on", "no namespaces" or "off". */
json_t *status_of(const struct keeper_policy *policy, const struct keeper_host *host,
		  struct kept *const *kept, size_t count, bool dry_run, const char *sandbox);

void status_log_host(const struct keeper_policy *policy, const struct keeper_host *host);
/* Of the guest's last request, which begins, or with @dry_run would. */
void status_log_request(const struct kept *kept, bool dry_run);

#endif
