// SPDX-License-Identifier: Apache-2.0
/* Checks limits, privileges and the runtime directory of the user that starts ebb. */
#include <string.h>

#include "vmm/doctor/doctor.h"
#include "vmm/lib/text.h"

#define CAP_IPC_LOCK_BIT 14 /* <linux/capability.h>; lifts RLIMIT_MEMLOCK */

static void look_at_limit(struct findings *findings, const char *about, uint64_t limit,
			  const char *change)
{
	char size[TEXT_SIZE_MAX];
	if (limit == UINT64_MAX)
		finding_add(findings, FINDING_OK, about, "guests can be of any size", NULL,
			    "no limit");
	else
		finding_add(findings, FINDING_WARN, about, "larger guests do not start", change,
			    "%s", text_size(size, limit));
}

static void look_at_locking(struct findings *findings, uint64_t limit, uint64_t capabilities)
{
	static const char about[] = "RLIMIT_MEMLOCK";
	char size[TEXT_SIZE_MAX];
	if (limit == UINT64_MAX || capabilities >> CAP_IPC_LOCK_BIT & 1)
		finding_add(findings, FINDING_OK, about, "guests of any size can use --mem-lock",
			    NULL, "no limit");
	else
		finding_add(findings, FINDING_OK, about, "larger guests cannot use --mem-lock",
			    "ulimit -l unlimited (as root, or in /etc/security/limits.conf)", "%s",
			    text_size(size, limit));
}

static void look_at_capabilities(struct findings *findings, uint64_t capabilities)
{
	/* Not a warning, since ebb drops them; but root's ebb still owns root's files. */
	if (capabilities)
		finding_add(findings, FINDING_OK, "privileges",
			    "ebb needs none, and drops them before a guest runs",
			    "run ebb as a user in the group kvm", "%d capabilities",
			    __builtin_popcountll(capabilities));
	else
		finding_add(findings, FINDING_OK, "privileges", "ebb needs none", NULL, "none");
}

void doctor_process(struct findings *findings, const struct doctor_host *host)
{
	char status[DOCTOR_FILE_MAX];
	uint64_t capabilities = 0;
	bool known = doctor_read(host, "/proc/self/status", status, sizeof(status)) &&
		     doctor_line(status, "CapEff", 16, &capabilities);
	look_at_limit(findings, "RLIMIT_AS", host->limit_as, "ulimit -v unlimited");
	look_at_limit(findings, "RLIMIT_DATA", host->limit_data, "ulimit -d unlimited");
	look_at_locking(findings, host->limit_memlock, capabilities);
	if (known)
		look_at_capabilities(findings, capabilities);
	if (host->runtime_error)
		finding_add(findings, FINDING_FAIL, "runtime directory",
			    "no guest can run: each needs a control socket there",
			    "set EBB_RUNTIME_DIR to a directory that only you can use", "%s",
			    strerror(-host->runtime_error));
	else
		finding_add(findings, FINDING_OK, "runtime directory",
			    "guests can be found by name", NULL, "%u guest%s running", host->guests,
			    host->guests == 1 ? "" : "s");
}
