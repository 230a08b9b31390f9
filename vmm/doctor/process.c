// SPDX-License-Identifier: Apache-2.0
/* What whoever starts ebb is allowed to. */
#include <string.h>

#include "vmm/doctor/doctor.h"
#include "vmm/lib/text.h"

#define CAP_IPC_LOCK_BIT 14 /* <linux/capability.h>: locks without a limit */

static void look_at_limit(struct findings *findings, const char *about, uint64_t limit,
			  const char *change)
{
	char size[TEXT_SIZE_MAX];
	if (limit == UINT64_MAX)
		finding_add(findings, FINDING_OK, about, "a guest can be of any size", NULL,
			    "no limit");
	else
		finding_add(findings, FINDING_WARN, about, "larger guests are refused", change,
			    "%s", text_size(size, limit));
}

static void look_at_locking(struct findings *findings, uint64_t limit, uint64_t capabilities)
{
	static const char about[] = "RLIMIT_MEMLOCK";
	char size[TEXT_SIZE_MAX];
	if (limit == UINT64_MAX || capabilities >> CAP_IPC_LOCK_BIT & 1)
		finding_add(findings, FINDING_OK, about, "any guest can have --mem-lock", NULL,
			    "no limit");
	else
		finding_add(findings, FINDING_OK, about, "larger guests cannot have --mem-lock",
			    "ulimit -l unlimited (as root, or in /etc/security/limits.conf)", "%s",
			    text_size(size, limit));
}

static void look_at_capabilities(struct findings *findings, uint64_t capabilities)
{
	/* The user stays who it is: root's files are still its own. */
	if (capabilities)
		finding_add(findings, FINDING_OK, "privileges",
			    "ebb needs none, and gives them up before a guest runs",
			    "run ebb as a user of the group kvm", "%d capabilities",
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
			    "guests cannot be named, and so not run",
			    "name another with EBB_RUNTIME_DIR", "%s",
			    strerror(-host->runtime_error));
	else
		finding_add(findings, FINDING_OK, "runtime directory",
			    "guests can be named and reached", NULL, "%u guest%s running",
			    host->guests, host->guests == 1 ? "" : "s");
}
