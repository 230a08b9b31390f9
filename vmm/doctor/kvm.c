// SPDX-License-Identifier: Apache-2.0
/* Whether there is a KVM, and one that runs a Linux guest. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/doctor/doctor.h"

/* Whether @word is a word of the first line that begins with "flags". */
static bool has_flag(const char *cpuinfo, const char *word)
{
	const char *flags = strstr(cpuinfo, "flags\t");
	size_t len = strlen(word);
	const char *end = flags ? flags + strcspn(flags, "\n") : NULL;
	for (const char *at = flags; at && (at = strstr(at, word)) && at < end; at += len)
		if (at[-1] == ' ' && (at[len] == ' ' || at[len] == '\n' || at[len] == '\0'))
			return true;
	return false;
}

static bool has_module(const struct doctor_host *host, const char *name)
{
	char path[64];
	char state[32];
	snprintf(path, sizeof(path), "/sys/module/%s/initstate", name);
	if (doctor_read(host, path, state, sizeof(state)))
		return true;
	/* What is built in has no state, only parameters. */
	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nested", name);
	return doctor_read(host, path, state, sizeof(state));
}

static void look_at_opening(struct findings *findings, const struct doctor_host *host)
{
	int error = host->kvm.error;
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest can run",
			    host->x86 ? "modprobe kvm_intel || modprobe kvm_amd "
					"(or switch virtualisation on in the firmware)"
				      : "modprobe kvm (on a processor and a kernel that have it)",
			    "there is no KVM: %s", strerror(error));
		break;
	case EACCES:
	case EPERM:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest of yours can run",
			    "usermod -aG kvm USER (as root; then log in again)",
			    "no permission to open it");
		break;
	default:
		finding_add(findings, FINDING_FAIL, "/dev/kvm", "no guest can run", NULL,
			    "it cannot be opened: %s", strerror(error));
	}
}

/* As tests/host/kvm-kind does. */
static void look_at_kind(struct findings *findings, const struct doctor_host *host)
{
	char cpuinfo[DOCTOR_FILE_MAX];
	if (!host->x86) {
		finding_add(findings, FINDING_OK, "processor", "it runs guests itself", NULL,
			    "not x86: KVM is there, so it virtualizes");
		return;
	}
	doctor_read(host, "/proc/cpuinfo", cpuinfo, sizeof(cpuinfo));
	bool svm = has_flag(cpuinfo, "svm");
	bool vmx = has_flag(cpuinfo, "vmx");
	if (!svm && !vmx) {
		finding_add(findings, FINDING_FAIL, "processor",
			    "this KVM interprets a guest's kernel, and no Linux guest boots on it",
			    "use a machine with nested or real virtualisation",
			    "it does not virtualize (neither svm nor vmx in /proc/cpuinfo)");
		return;
	}
	const char *module = svm ? "kvm_amd" : "kvm_intel";
	if (has_module(host, module))
		finding_add(findings, FINDING_OK, "processor", "it runs guests itself", NULL,
			    "it virtualizes (%s), and %s is loaded", svm ? "svm" : "vmx", module);
	else
		finding_add(findings, FINDING_WARN, "processor",
			    "whether Linux guests boot is for KVM's module to say", NULL,
			    "it virtualizes (%s), but KVM is not from %s", svm ? "svm" : "vmx",
			    module);
}

static void look_at_abilities(struct findings *findings, const struct vm_probe *kvm)
{
	unsigned int missing = 0;
	if (kvm->version != kvm->version_wanted)
		finding_add(findings, FINDING_FAIL, "KVM's API", "ebb does not know it",
			    "use a newer kernel", "version %d, not %d", kvm->version,
			    kvm->version_wanted);
	else
		finding_add(findings, FINDING_OK, "KVM's API", "it is the one that ebb knows", NULL,
			    "version %d", kvm->version);
	for (unsigned int i = 0; i < kvm->needs; i++) {
		if (kvm->need[i].there)
			continue;
		missing++;
		finding_add(findings, FINDING_FAIL, "KVM", "ebb cannot do without it",
			    "use a newer kernel", "it lacks %s", kvm->need[i].name);
	}
	if (missing == 0)
		finding_add(findings, FINDING_OK, "KVM", "nothing is missing", NULL,
			    "it has the %u capabilities that ebb needs; %u CPUs in a guest",
			    kvm->needs, kvm->cpus_max);
}

void doctor_kvm(struct findings *findings, const struct doctor_host *host)
{
	if (host->kvm.error) {
		look_at_opening(findings, host);
		return;
	}
	finding_add(findings, FINDING_OK, "/dev/kvm", "guests can be made", NULL, "it opens");
	look_at_kind(findings, host);
	look_at_abilities(findings, &host->kvm);
}
