// SPDX-License-Identifier: Apache-2.0
/* Checks what keeps a guest that takes ebb over from everything else: see docs/security.md. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/doctor/doctor.h"

#define CPU "/sys/devices/system/cpu/"

/* What a cgroup of a guest's own, or none, means. */
#define CAN_END	    "one can end a guest that takes ebb over and uses more than it may"
#define CAN_USE_ALL "a guest that takes ebb over can use all memory that you may use"

/* --- what ebb gives up ----------------------------------------------------------------------- */

/* The settings that forbid user namespaces, with the value that does. */
static const struct {
	const char *file;
	uint64_t forbids;
	const char *change;
} settings[] = {
	{"/proc/sys/user/max_user_namespaces", 0, "sysctl user.max_user_namespaces=10000"},
	{"/proc/sys/kernel/unprivileged_userns_clone", 0,
	 "sysctl kernel.unprivileged_userns_clone=1"},
	{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
	 "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile for ebb "
	 "with userns)"},
};

static void look_at_namespaces(struct findings *findings, const struct doctor_host *host)
{
	const char *change = "in a container, let its seccomp profile permit unshare and mount";
	if (!host->sandbox.namespaces) {
		finding_add(findings, FINDING_OK, "namespaces",
			    "a guest that takes ebb over is alone, without files or networks", NULL,
			    "permitted");
		return;
	}
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		uint64_t value;
		if (doctor_number(host, settings[i].file, &value) && value == settings[i].forbids)
			change = settings[i].change;
	}
	finding_add(findings, FINDING_WARN, "namespaces",
		    "only filters and Landlock keep a guest that takes ebb over in", change,
		    "not permitted: %s", strerror(-host->sandbox.namespaces));
}

static void look_at_landlock(struct findings *findings, const struct doctor_host *host)
{
	if (host->sandbox.landlock > 0)
		finding_add(findings, FINDING_OK, "Landlock", "ebb takes all files from itself",
			    NULL, "version %d", host->sandbox.landlock);
	else
		finding_add(findings, FINDING_WARN, "Landlock",
			    host->sandbox.namespaces
				    ? "a guest that takes ebb over could remove your files"
				    : "only namespaces and filters take files from ebb",
			    "add landlock to the list lsm= of the kernel's parameters "
			    "(/sys/kernel/security/lsm has the present one)",
			    "not there: %s", strerror(-host->sandbox.landlock));
}

static void look_at_filters(struct findings *findings, const struct doctor_host *host)
{
	if (!host->sandbox.filters)
		finding_add(findings, FINDING_OK, "seccomp",
			    "each thread keeps only the system calls that it makes", NULL, "there");
	else
		finding_add(findings, FINDING_FAIL, "seccomp", "guests run only with --sandbox=off",
			    "use a kernel with CONFIG_SECCOMP_FILTER", "not there: %s",
			    strerror(-host->sandbox.filters));
}

/* Whether this user may make cgroups with limits in the one in @folder, and move processes there. */
static bool may_change(const struct doctor_host *host, const char *folder)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.subtree_control"};
	char path[2 * PATH_MAX];
	bool may = true;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && may; i++) {
		snprintf(path, sizeof(path), "%s%s/%s", host->root, folder, files[i]);
		may = access(path, W_OK) == 0;
	}
	return may;
}

/* Without systemd, which makes cgroups for users: root makes them at the top, others in what was delegated to them. */
static void look_at_delegation(struct findings *findings, const struct doctor_host *host)
{
	bool root = host->user == 0;
	char own[PATH_MAX];

	if (root ? may_change(host, DOCTOR_CGROUPS)
		 : doctor_own_cgroup(host, own, sizeof(own)) && may_change(host, own))
		finding_add(
			findings, FINDING_OK, "own cgroup", CAN_END,
			root ? "mkdir " DOCTOR_CGROUPS "/guests; ebb run --cgroup=" DOCTOR_CGROUPS
			       "/guests ..."
			     : "ebb run --cgroup=PATH in the cgroup that root has delegated to you",
			"%s", root ? "by --cgroup" : "by delegation");
	else
		finding_add(
			findings, FINDING_WARN, "own cgroup", CAN_USE_ALL,
			root ? "in a container, mount " DOCTOR_CGROUPS
			       " so that it can be written, with a cgroup namespace"
			     : "let root give you the files of a cgroup (chown -R), and move your "
			       "shell to one in it",
			"you cannot change %s",
			root ? DOCTOR_CGROUPS : "the cgroup that this runs in");
}

/* Whether a guest can have a cgroup of its own, and by which command. */
static void look_at_own_cgroup(struct findings *findings, const struct doctor_host *host)
{
	char path[PATH_MAX], text[DOCTOR_FILE_MAX];
	snprintf(path, sizeof(path), "%s/run/systemd/system", host->root);
	bool systemd = access(path, F_OK) == 0;

	snprintf(path, sizeof(path), "%s" DOCTOR_CGROUPS, host->root);
	if (access(path, F_OK) != 0)
		return; /* a kernel without any */
	if (!doctor_read(host, DOCTOR_CGROUPS "/cgroup.controllers", text, sizeof(text)) ||
	    !strstr(text, "memory"))
		finding_add(findings, FINDING_WARN, "own cgroup", CAN_USE_ALL,
			    "mount cgroup version 2 at " DOCTOR_CGROUPS
			    " (with systemd: the kernel "
			    "parameter systemd.unified_cgroup_hierarchy=1)",
			    "cgroup v2 does not control memory here");
	else if (systemd && host->user)
		finding_add(findings, FINDING_OK, "own cgroup", CAN_END,
			    "ebb run --cgroup auto ...", "by systemd");
	else
		look_at_delegation(findings, host);
}

/* --- what the processor leaks ---------------------------------------------------------------- */

static void look_at_smt(struct findings *findings, const struct doctor_host *host)
{
	uint64_t active;
	if (!doctor_number(host, CPU "smt/active", &active))
		return;
	if (!active)
		finding_add(findings, FINDING_OK, "SMT", "no two guests run on one core at once",
			    NULL, "off, or not there");
	else if (!host->sandbox.cores)
		finding_add(findings, FINDING_OK, "SMT", "a guest shares a core with itself only",
			    NULL, "on, with core scheduling");
	else
		finding_add(findings, FINDING_WARN, "SMT",
			    "a guest may see what another one's thread on the same core leaves",
			    "echo off > " CPU "smt/control, or use a kernel with CONFIG_SCHED_CORE",
			    "on, without core scheduling");
}

/* Adds the names of what the kernel calls vulnerable to @open. Returns how many files there are. */
static unsigned int read_vulnerabilities(const struct doctor_host *host, char *open, size_t size)
{
	char path[PATH_MAX];
	struct dirent *entry;
	unsigned int count = 0;
	size_t used = 0;

	snprintf(path, sizeof(path), "%s" CPU "vulnerabilities", host->root);
	DIR *all = opendir(path);
	while (all && (entry = readdir(all))) {
		char text[256];
		snprintf(path, sizeof(path), CPU "vulnerabilities/%s", entry->d_name);
		if (entry->d_name[0] == '.' || !doctor_read(host, path, text, sizeof(text)))
			continue;
		count++;
		if (strncmp(text, "Vulnerable", 10) == 0 && used < size)
			used += (size_t)snprintf(open + used, size - used, "%s%s", used ? ", " : "",
						 entry->d_name);
	}
	if (all)
		closedir(all);
	return count;
}

static void look_at_vulnerabilities(struct findings *findings, const struct doctor_host *host)
{
	char open[160] = "";
	unsigned int count = read_vulnerabilities(host, open, sizeof(open));
	if (count && !open[0])
		finding_add(findings, FINDING_OK, "vulnerabilities",
			    "the kernel does what it can against what the processor leaks", NULL,
			    "none of the %u that the kernel knows is open", count);
	else if (count)
		finding_add(findings, FINDING_WARN, "vulnerabilities",
			    "a guest may read what others leave in the processor",
			    "update the kernel and the microcode; no mitigations=off "
			    "(" CPU "vulnerabilities has the details)",
			    "%s", open);
}

void doctor_isolation(struct findings *findings, const struct doctor_host *host)
{
	look_at_namespaces(findings, host);
	look_at_landlock(findings, host);
	look_at_filters(findings, host);
	look_at_own_cgroup(findings, host);
	look_at_smt(findings, host);
	look_at_vulnerabilities(findings, host);
}
